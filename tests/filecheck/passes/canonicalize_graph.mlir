// RUN: ait-opt %s -p canonicalize-graph | filecheck %s

// Two permutes compose, and the identity that they make is gone.
// CHECK-LABEL: @permutes
// CHECK-NEXT:    func.return %x
func.func @permutes(%x: tensor<2x3x4xf32>) -> tensor<2x3x4xf32> {
  %0 = graph.permute %x {permutation = [1, 2, 0]} : (tensor<2x3x4xf32>) -> tensor<3x4x2xf32>
  %1 = graph.permute %0 {permutation = [2, 0, 1]} : (tensor<3x4x2xf32>) -> tensor<2x3x4xf32>
  func.return %1 : tensor<2x3x4xf32>
}

// CHECK-LABEL: @reshapes
// CHECK-NEXT:    %0 = graph.reshape %x : (tensor<2x3x4xf32>) -> tensor<24xf32>
// CHECK-NEXT:    func.return %0
func.func @reshapes(%x: tensor<2x3x4xf32>) -> tensor<24xf32> {
  %0 = graph.reshape %x : (tensor<2x3x4xf32>) -> tensor<6x4xf32>
  %1 = graph.reshape %0 : (tensor<6x4xf32>) -> tensor<24xf32>
  func.return %1 : tensor<24xf32>
}

// Moving dims of size 1 is a reshape, whatever the permute looks like.
// CHECK-LABEL: @unit_permute
// CHECK-NEXT:    graph.reshape %x : (tensor<2x1x3xf32>) -> tensor<1x2x3xf32>
func.func @unit_permute(%x: tensor<2x1x3xf32>) -> tensor<1x2x3xf32> {
  %0 = graph.permute %x {permutation = [1, 0, 2]} : (tensor<2x1x3xf32>) -> tensor<1x2x3xf32>
  func.return %0 : tensor<1x2x3xf32>
}

// Near misses stay: a reversed slice of the same size, a cast that changes the type.
// CHECK-LABEL: @not_identities
// CHECK-NEXT:    %0 = graph.slice %x
// CHECK-NEXT:    %1 = graph.cast %0
// CHECK-NEXT:    func.return %1
func.func @not_identities(%x: tensor<4xf32>) -> tensor<4xf16> {
  %0 = graph.slice %x {offsets = [3], sizes = [4], steps = [-1]} : tensor<4xf32>
  %1 = graph.cast %0 : (tensor<4xf32>) -> tensor<4xf16>
  func.return %1 : tensor<4xf16>
}
