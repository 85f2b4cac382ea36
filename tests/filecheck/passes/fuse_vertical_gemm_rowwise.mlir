// RUN: ait-opt %s -p lower,fuse-vertical --remarks 2>&1 | filecheck %s
// RUN: ait-opt %s -p lower,fuse-vertical --target cuda:sm_80 --remarks 2>&1 | filecheck %s --check-prefix=CUDA

// CHECK: remark: kernel.rowwise (probabilities): kernel.gemm (router) and kernel.rowwise (probabilities) are one kernel: {{.*}} us saved
// CHECK: remark: kernel.rowwise (other_axis): not one kernel with kernel.gemm (square), which it reads: its row is not all of the product's columns, and nothing but them
// CHECK: remark: kernel.rowwise (vocabulary): not one kernel with kernel.gemm (logits), which it reads: a row of 4096 elements is more than the 512 that kernel.gemm_rowwise holds on any
// CHECK: remark: kernel.rowwise (norm): not one kernel with kernel.gemm (deep), which it reads: blocks of whole rows would lose {{.*}} us

// CUDA: remark: kernel.rowwise (probabilities): not one kernel with kernel.gemm (router), which it reads: cuda:sm_80 has no kernel.gemm_rowwise
// CUDA-NOT: kernel.gemm_rowwise ins

// CHECK-LABEL: @softmax
// CHECK:         kernel.gemm_rowwise ins(%x : tensor<8x16xf32>, %w <offset 0, sizes [16, 32], strides [1, 16]> : tensor<32x16xf32>, %b <offset 0, sizes [8, 32], strides [0, 1]> : tensor<32xf32>) outs({{.*}}) {groups = array<i64: 0, 1, 1, 1>, kind = #kernel<rowwise_kind softmax>, source = "router"} prologue {
// CHECK-NEXT:    ^bb0(%[[SUM:.*]]: f32, %[[BIAS:.*]]: f32):
// CHECK-NEXT:      %[[V:.*]] = arith.addf %[[SUM]], %[[BIAS]] : f32
// CHECK-NEXT:      kernel.yield %[[V]] : f32
// CHECK-NEXT:    } epilogue {
// CHECK-NEXT:    ^bb0(%[[Y:.*]]: f32, %{{.*}}: f32, %{{.*}}: f32, %{{.*}}: f32):
// CHECK-NEXT:      kernel.yield %[[Y]] : f32
func.func @softmax(%x: tensor<8x16xf32>, %w: tensor<32x16xf32>, %b: tensor<32xf32>) -> tensor<8x32xf32> {
  %0 = graph.linear %x, %w, %b {source = "router"} : (tensor<8x16xf32>, tensor<32x16xf32>, tensor<32xf32>) -> tensor<8x32xf32>
  %1 = graph.softmax %0 {axis = 1, source = "probabilities"} : tensor<8x32xf32>
  func.return %1 : tensor<8x32xf32>
}

// The sum with the residual is a result too: it is what the norm begins with.
// CHECK-LABEL: @residual_and_norm
// CHECK:         %[[H:.*]], %[[N:.*]] = kernel.gemm_rowwise {{.*}} prologue {
// CHECK-NEXT:    ^bb0(%[[SUM:.*]]: f32, %[[X:.*]]: f32, %{{.*}}: f32, %{{.*}}: f32):
// CHECK-NEXT:      %[[V:.*]] = arith.addf %[[SUM]], %[[X]] : f32
// CHECK-NEXT:      kernel.yield %[[V]] : f32
// CHECK-NEXT:    } epilogue {
// CHECK-NEXT:    ^bb0(%[[Y:.*]]: f32, %[[V2:.*]]: f32, %{{.*}}: f32, %{{.*}}: f32, %[[G:.*]]: f32, %[[S:.*]]: f32):
// CHECK-NEXT:      %[[P:.*]] = arith.mulf %[[Y]], %[[G]] : f32
// CHECK-NEXT:      %[[R:.*]] = arith.addf %[[P]], %[[S]] : f32
// CHECK-NEXT:      kernel.yield %[[V2]], %[[R]] : f32, f32
// CHECK:         func.return %[[H]], %[[N]]
func.func @residual_and_norm(%x: tensor<8x16xf32>, %w: tensor<16x16xf32>, %g: tensor<16xf32>, %s: tensor<16xf32>) -> (tensor<8x16xf32>, tensor<8x16xf32>) {
  %0 = graph.linear %x, %w : (tensor<8x16xf32>, tensor<16x16xf32>) -> tensor<8x16xf32>
  %1 = graph.add %0, %x : (tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x16xf32>
  %2 = graph.layer_norm %1, %g, %s {axes_rank = 1, eps = 1.0e-05} : (tensor<8x16xf32>, tensor<16xf32>, tensor<16xf32>) -> tensor<8x16xf32>
  func.return %1, %2 : tensor<8x16xf32>, tensor<8x16xf32>
}

// CHECK-LABEL: @columns
// CHECK:         kernel.gemm ins
// CHECK:         kernel.rowwise ins
func.func @columns(%x: tensor<16x16xf32>, %w: tensor<16x16xf32>) -> tensor<16x16xf32> {
  %0 = graph.linear %x, %w {source = "square"} : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
  %1 = graph.softmax %0 {axis = 0, source = "other_axis"} : tensor<16x16xf32>
  func.return %1 : tensor<16x16xf32>
}

// CHECK-LABEL: @too_wide
// CHECK:         kernel.gemm ins
// CHECK:         kernel.rowwise ins
func.func @too_wide(%x: tensor<8x16xf32>, %w: tensor<4096x16xf32>) -> tensor<8x4096xf32> {
  %0 = graph.linear %x, %w {source = "logits"} : (tensor<8x16xf32>, tensor<4096x16xf32>) -> tensor<8x4096xf32>
  %1 = graph.softmax %0 {axis = 1, source = "vocabulary"} : tensor<8x4096xf32>
  func.return %1 : tensor<8x4096xf32>
}

// One block of rows would read all of the weights by itself.
// CHECK-LABEL: @too_deep
// CHECK:         kernel.gemm ins
// CHECK:         kernel.rowwise ins
func.func @too_deep(%x: tensor<8x4096xf32>, %w: tensor<512x4096xf32>) -> tensor<8x512xf32> {
  %0 = graph.linear %x, %w {source = "deep"} : (tensor<8x4096xf32>, tensor<512x4096xf32>) -> tensor<8x512xf32>
  %1 = graph.softmax %0 {axis = 1, source = "norm"} : tensor<8x512xf32>
  func.return %1 : tensor<8x512xf32>
}
