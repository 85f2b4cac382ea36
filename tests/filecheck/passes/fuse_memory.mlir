// RUN: ait-opt %s -p lower,fuse-vertical,fuse-memory --remarks 2>&1 | filecheck %s

// CHECK: remark: kernel.gemm (left): writes its part of the assembled tensor in place
// CHECK: remark: accessor.assemble: a piece is copied: no kernel here computes it

// Two kernels write into one destination; the input among the pieces is copied.
// CHECK-LABEL: @concat
// CHECK:         %[[D0:.*]] = kernel.empty : tensor<4x12xf32>
// CHECK:         %[[D1:.*]] = kernel.gemm {{.*}} outs(%[[D0]] <offset 0, sizes [4, 4], strides [12, 1]> : tensor<4x12xf32>)
// CHECK:         %[[D2:.*]] = kernel.pointwise {{.*}} outs(%[[D1]] <offset 4, sizes [4, 4], strides [12, 1]> : tensor<4x12xf32>)
// CHECK:         %[[D3:.*]] = kernel.copy ins(%z : tensor<4x4xf32>) outs(%[[D2]] <offset 8, sizes [4, 4], strides [12, 1]> : tensor<4x12xf32>)
// CHECK-NEXT:    func.return %[[D3]]
func.func @concat(%x: tensor<4x16xf32>, %w: tensor<16x4xf32>, %z: tensor<4x4xf32>) -> tensor<4x12xf32> {
  %0 = graph.matmul %x, %w {source = "left"} : (tensor<4x16xf32>, tensor<16x4xf32>) -> tensor<4x4xf32>
  %1 = graph.relu %z : tensor<4x4xf32>
  %2 = graph.concat %0, %1, %z {axis = 1} : (tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x12xf32>
  func.return %2 : tensor<4x12xf32>
}

// A piece that something else reads is read where it now is.
// CHECK-LABEL: @piece_with_reader
// CHECK:         %[[P:.*]] = kernel.gemm {{.*}} outs({{.*}} <offset 0, sizes [4, 4], strides [8, 1]>
// CHECK:         kernel.rowwise ins(%[[P]] <offset 0, sizes [4, 4], strides [1, 8]> : tensor<4x8xf32>)
// CHECK-NOT:     kernel.copy ins(%[[P]]
func.func @piece_with_reader(%x: tensor<4x16xf32>, %w: tensor<16x4xf32>) -> (tensor<4x8xf32>, tensor<4x4xf32>) {
  %0 = graph.matmul %x, %w : (tensor<4x16xf32>, tensor<16x4xf32>) -> tensor<4x4xf32>
  %1 = graph.softmax %0 {axis = 0} : tensor<4x4xf32>
  %2 = graph.tanh %1 : tensor<4x4xf32>
  %3 = graph.concat %0, %2 {axis = 1} : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x8xf32>
  func.return %3, %1 : tensor<4x8xf32>, tensor<4x4xf32>
}

// Slices of one tensor are operands, not copies; padding is filled first.
// CHECK-LABEL: @slices_and_pad
// CHECK:         kernel.pointwise ins() outs({{.*}} : tensor<6xf32>)
// CHECK:         kernel.pointwise ins(%x <offset 0, sizes [4], strides [1]> : tensor<8xf32>, %x <offset 7, sizes [4], strides [-1]> : tensor<8xf32>) outs({{.*}} <offset 1, sizes [4], strides [1]> : tensor<6xf32>)
// CHECK-NOT:     kernel.copy
func.func @slices_and_pad(%x: tensor<8xf32>) -> tensor<6xf32> {
  %0 = graph.slice %x {offsets = [0], sizes = [4], steps = [1]} : (tensor<8xf32>) -> tensor<4xf32>
  %1 = graph.slice %x {offsets = [7], sizes = [4], steps = [-1]} : (tensor<8xf32>) -> tensor<4xf32>
  %2 = graph.add %0, %1 : tensor<4xf32>
  %3 = graph.pad %2 {low = [1], high = [1], value = 0.0} : (tensor<4xf32>) -> tensor<6xf32>
  func.return %3 : tensor<6xf32>
}

// A concat of a concat is written once; the inner one is read where it is, before the outer one is
// complete.
// CHECK-LABEL: @nested
// CHECK:         %[[E:.*]] = kernel.empty : tensor<4x10xf32>
// CHECK:         %[[D0:.*]] = kernel.pointwise {{.*}} outs(%[[E]] <offset 0, sizes [4, 3], strides [10, 1]> : tensor<4x10xf32>)
// CHECK:         %[[D1:.*]] = kernel.gemm ins(%[[D0]] <offset 0, sizes [4, 3], strides [10, 1]> {{.*}} outs(%[[D0]] <offset 3, sizes [4, 2], strides [10, 1]> : tensor<4x10xf32>)
// CHECK:         %[[D2:.*]] = kernel.gemm ins(%[[D1]] <offset 0, sizes [4, 5], strides [10, 1]> {{.*}} outs(%[[D1]] <offset 5, sizes [4, 5], strides [10, 1]> : tensor<4x10xf32>)
// CHECK:         func.return %[[D2]]
func.func @nested(%x: tensor<4x3xf32>, %w0: tensor<3x2xf32>, %w1: tensor<5x5xf32>) -> tensor<4x10xf32> {
  %0 = graph.tanh %x : tensor<4x3xf32>
  %1 = graph.matmul %0, %w0 : (tensor<4x3xf32>, tensor<3x2xf32>) -> tensor<4x2xf32>
  %2 = graph.concat %0, %1 {axis = 1} : (tensor<4x3xf32>, tensor<4x2xf32>) -> tensor<4x5xf32>
  %3 = graph.matmul %2, %w1 : (tensor<4x5xf32>, tensor<5x5xf32>) -> tensor<4x5xf32>
  %4 = graph.concat %2, %3 {axis = 1} : (tensor<4x5xf32>, tensor<4x5xf32>) -> tensor<4x10xf32>
  func.return %4 : tensor<4x10xf32>
}

// The same with a new concat of all pieces: the smaller one is a view of the larger.
// CHECK-LABEL: @list
// CHECK:         %[[D1:.*]] = kernel.gemm {{.*}} outs({{.*}} <offset 3, sizes [4, 2], strides [10, 1]> : tensor<4x10xf32>)
// CHECK:         %[[D2:.*]] = kernel.gemm ins(%[[D1]] <offset 0, sizes [4, 5], strides [10, 1]> {{.*}} outs(%[[D1]] <offset 5, sizes [4, 5], strides [10, 1]> : tensor<4x10xf32>)
// CHECK:         func.return %[[D2]]
func.func @list(%x: tensor<4x3xf32>, %w0: tensor<3x2xf32>, %w1: tensor<5x5xf32>) -> tensor<4x10xf32> {
  %0 = graph.tanh %x : tensor<4x3xf32>
  %1 = graph.matmul %0, %w0 : (tensor<4x3xf32>, tensor<3x2xf32>) -> tensor<4x2xf32>
  %2 = graph.concat %0, %1 {axis = 1} : (tensor<4x3xf32>, tensor<4x2xf32>) -> tensor<4x5xf32>
  %3 = graph.matmul %2, %w1 : (tensor<4x5xf32>, tensor<5x5xf32>) -> tensor<4x5xf32>
  %4 = graph.concat %0, %1, %3 {axis = 1} : (tensor<4x3xf32>, tensor<4x2xf32>, tensor<4x5xf32>) -> tensor<4x10xf32>
  func.return %4 : tensor<4x10xf32>
}

// A concat that is returned transposed is written transposed.
// CHECK-LABEL: @transposed
// CHECK:         kernel.pointwise {{.*}} outs({{.*}} <offset 0, sizes [4, 3], strides [1, 4]> : tensor<5x4xf32>)
// CHECK:         kernel.pointwise {{.*}} outs({{.*}} <offset 12, sizes [4, 2], strides [1, 4]> : tensor<5x4xf32>)
// CHECK-NOT:     kernel.copy
// CHECK:         func.return
func.func @transposed(%x: tensor<4x3xf32>, %y: tensor<4x2xf32>) -> tensor<5x4xf32> {
  %0 = graph.tanh %x : tensor<4x3xf32>
  %1 = graph.exp %y : tensor<4x2xf32>
  %2 = graph.concat %0, %1 {axis = 1} : (tensor<4x3xf32>, tensor<4x2xf32>) -> tensor<4x5xf32>
  %3 = graph.permute %2 {permutation = [1, 0]} : (tensor<4x5xf32>) -> tensor<5x4xf32>
  func.return %3 : tensor<5x4xf32>
}

// An inner concat that is returned too is a tensor of its own, copied as a whole.
// CHECK-LABEL: @inner_returned
// CHECK:         %[[I:.*]] = kernel.pointwise {{.*}} outs({{.*}} <offset 3, sizes [4, 2], strides [5, 1]> : tensor<4x5xf32>)
// CHECK:         kernel.copy ins(%[[I]] : tensor<4x5xf32>) outs({{.*}} <offset 0, sizes [4, 5], strides [7, 1]> : tensor<4x7xf32>)
// CHECK-NOT:     kernel.copy
// CHECK:         func.return %[[I]]
func.func @inner_returned(%x: tensor<4x3xf32>, %y: tensor<4x2xf32>) -> (tensor<4x5xf32>, tensor<4x7xf32>) {
  %0 = graph.tanh %x : tensor<4x3xf32>
  %1 = graph.exp %y : tensor<4x2xf32>
  %2 = graph.concat %0, %1 {axis = 1} : (tensor<4x3xf32>, tensor<4x2xf32>) -> tensor<4x5xf32>
  %3 = graph.softmax %1 {axis = 1} : tensor<4x2xf32>
  %4 = graph.concat %2, %3 {axis = 1} : (tensor<4x5xf32>, tensor<4x2xf32>) -> tensor<4x7xf32>
  func.return %2, %4 : tensor<4x5xf32>, tensor<4x7xf32>
}
