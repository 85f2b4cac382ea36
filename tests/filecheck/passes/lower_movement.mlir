// RUN: ait-opt %s -p lower-movement | filecheck %s

// A chain of movement is one view of the base.
// CHECK-LABEL: @heads
// CHECK-NEXT:    = accessor.view %x <offset 4, sizes [2, 2, seq, 2], strides [seq * 12, 2, 12, 1], seq in [1, 9]>
func.func @heads(%x: tensor<2x?x12xf32, #sym.dims<[2, seq, 12], seq in [1, 9]>>) -> tensor<2x2x?x2xf32, #sym.dims<[2, 2, seq, 2], seq in [1, 9]>> {
  %k:3 = graph.split %x {axis = 2, sizes = [4, 4, 4]} : (tensor<2x?x12xf32, #sym.dims<[2, seq, 12], seq in [1, 9]>>) -> (tensor<2x?x4xf32, #sym.dims<[2, seq, 4], seq in [1, 9]>>, tensor<2x?x4xf32, #sym.dims<[2, seq, 4], seq in [1, 9]>>, tensor<2x?x4xf32, #sym.dims<[2, seq, 4], seq in [1, 9]>>)
  %0 = graph.reshape %k#1 : (tensor<2x?x4xf32, #sym.dims<[2, seq, 4], seq in [1, 9]>>) -> tensor<2x?x2x2xf32, #sym.dims<[2, seq, 2, 2], seq in [1, 9]>>
  %1 = graph.permute %0 {permutation = [0, 2, 1, 3]} : (tensor<2x?x2x2xf32, #sym.dims<[2, seq, 2, 2], seq in [1, 9]>>) -> tensor<2x2x?x2xf32, #sym.dims<[2, 2, seq, 2], seq in [1, 9]>>
  func.return %1 : tensor<2x2x?x2xf32, #sym.dims<[2, 2, seq, 2], seq in [1, 9]>>
}

// No strides reshape a transposed matrix: it is copied first.
// CHECK-LABEL: @reshape_of_permuted
// CHECK-NEXT:    %0 = accessor.view %x <offset 0, sizes [3, 2], strides [1, 3]>
// CHECK-NEXT:    %1 = accessor.materialize %0
// CHECK-NEXT:    accessor.view %1 <offset 0, sizes [6], strides [1]>
func.func @reshape_of_permuted(%x: tensor<2x3xf32>) -> tensor<6xf32> {
  %0 = graph.permute %x {permutation = [1, 0]} : (tensor<2x3xf32>) -> tensor<3x2xf32>
  %1 = graph.reshape %0 : (tensor<3x2xf32>) -> tensor<6xf32>
  func.return %1 : tensor<6xf32>
}

// A concat of a concat is one assemble of all pieces; a reversed slice has a negative stride.
// CHECK-LABEL: @concat
// CHECK-NEXT:    %[[R:.*]] = accessor.view %x <offset 1, sizes [2], strides [-1]>
// CHECK-NEXT:    accessor.assemble %y, %y, %[[R]]
// CHECK-NOT:     accessor.assemble
func.func @concat(%x: tensor<2xf32>, %y: tensor<2xf32>) -> tensor<6xf32> {
  %0 = graph.concat %y, %y {axis = 0} : (tensor<2xf32>, tensor<2xf32>) -> tensor<4xf32>
  %1 = graph.slice %x {offsets = [1], sizes = [2], steps = [-1]} : tensor<2xf32>
  %2 = graph.concat %0, %1 {axis = 0} : (tensor<4xf32>, tensor<2xf32>) -> tensor<6xf32>
  func.return %2 : tensor<6xf32>
}

// CHECK-LABEL: @pad
// CHECK-NEXT:    accessor.assemble %x {maps = [#accessor.map<offset 1, sizes [2], strides [1]>], fill = 7.000000e+00 : f32}
func.func @pad(%x: tensor<2xf32>) -> tensor<4xf32> {
  %0 = graph.pad %x {low = [1], high = [1], value = 7.0} : (tensor<2xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// A slice of a concat that lies inside one piece reads the piece; the concat is gone.
// CHECK-LABEL: @slice_of_concat
// CHECK-NEXT:    %[[V:.*]] = accessor.view %y <offset 1, sizes [n, 2], strides [3, 1], n in [1, 9]>
// CHECK-NOT:     accessor.assemble
// CHECK:         func.return
func.func @slice_of_concat(%x: tensor<?x4xf32, #sym.dims<[n, 4], n in [1, 9]>>, %y: tensor<?x3xf32, #sym.dims<[n, 3], n in [1, 9]>>) -> tensor<?x2xf32, #sym.dims<[n, 2], n in [1, 9]>> {
  %0 = graph.concat %x, %y {axis = 1} : (tensor<?x4xf32, #sym.dims<[n, 4], n in [1, 9]>>, tensor<?x3xf32, #sym.dims<[n, 3], n in [1, 9]>>) -> tensor<?x7xf32, #sym.dims<[n, 7], n in [1, 9]>>
  %1:2 = graph.split %0 {axis = 1, sizes = [5, 2]} : (tensor<?x7xf32, #sym.dims<[n, 7], n in [1, 9]>>) -> (tensor<?x5xf32, #sym.dims<[n, 5], n in [1, 9]>>, tensor<?x2xf32, #sym.dims<[n, 2], n in [1, 9]>>)
  func.return %1#1 : tensor<?x2xf32, #sym.dims<[n, 2], n in [1, 9]>>
}

// All parts of a tensor in order are the tensor, whatever the sizes.
// CHECK-LABEL: @concat_of_split
// CHECK-NEXT:    func.return %x
func.func @concat_of_split(%x: tensor<?x4xf32, #sym.dims<[n * 2, 4], n in [1, 9]>>) -> tensor<?x4xf32, #sym.dims<[n * 2, 4], n in [1, 9]>> {
  %a, %b = graph.split %x {axis = 0} : (tensor<?x4xf32, #sym.dims<[n * 2, 4], n in [1, 9]>>) -> (tensor<?x4xf32, #sym.dims<[n, 4], n in [1, 9]>>, tensor<?x4xf32, #sym.dims<[n, 4], n in [1, 9]>>)
  %0 = graph.concat %a, %b {axis = 0} : (tensor<?x4xf32, #sym.dims<[n, 4], n in [1, 9]>>, tensor<?x4xf32, #sym.dims<[n, 4], n in [1, 9]>>) -> tensor<?x4xf32, #sym.dims<[n * 2, 4], n in [1, 9]>>
  func.return %0 : tensor<?x4xf32, #sym.dims<[n * 2, 4], n in [1, 9]>>
}

// In another order they are not.
// CHECK-LABEL: @concat_of_swapped_split
// CHECK:         accessor.assemble
func.func @concat_of_swapped_split(%x: tensor<?x4xf32, #sym.dims<[n * 2, 4], n in [1, 9]>>) -> tensor<?x4xf32, #sym.dims<[n * 2, 4], n in [1, 9]>> {
  %a, %b = graph.split %x {axis = 0} : (tensor<?x4xf32, #sym.dims<[n * 2, 4], n in [1, 9]>>) -> (tensor<?x4xf32, #sym.dims<[n, 4], n in [1, 9]>>, tensor<?x4xf32, #sym.dims<[n, 4], n in [1, 9]>>)
  %0 = graph.concat %b, %a {axis = 0} : (tensor<?x4xf32, #sym.dims<[n, 4], n in [1, 9]>>, tensor<?x4xf32, #sym.dims<[n, 4], n in [1, 9]>>) -> tensor<?x4xf32, #sym.dims<[n * 2, 4], n in [1, 9]>>
  func.return %0 : tensor<?x4xf32, #sym.dims<[n * 2, 4], n in [1, 9]>>
}
