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

// Heads that repeat, by a concat along a new dim or by known indices, are expanded.
// CHECK-LABEL: @repeated_heads
// CHECK-NEXT:    %0 = graph.reshape %k : (tensor<2x3x4xf32>) -> tensor<2x3x1x4xf32>
// CHECK-NEXT:    %1 = graph.expand %0 : (tensor<2x3x1x4xf32>) -> tensor<2x3x2x4xf32>
// CHECK-NEXT:    %2 = graph.reshape %k : (tensor<2x3x4xf32>) -> tensor<2x3x1x4xf32>
// CHECK-NEXT:    %3 = graph.expand %2 : (tensor<2x3x1x4xf32>) -> tensor<2x3x2x4xf32>
// CHECK-NEXT:    %4 = graph.reshape %3 : (tensor<2x3x2x4xf32>) -> tensor<2x6x4xf32>
// CHECK-NEXT:    func.return %1, %4
func.func @repeated_heads(%k: tensor<2x3x4xf32>) -> (tensor<2x3x2x4xf32>, tensor<2x6x4xf32>) {
  %0 = graph.reshape %k : (tensor<2x3x4xf32>) -> tensor<2x3x1x4xf32>
  %1 = graph.concat %0, %0 {axis = 2} : (tensor<2x3x1x4xf32>, tensor<2x3x1x4xf32>) -> tensor<2x3x2x4xf32>
  %indices = graph.constant dense<[0, 0, 1, 1, 2, 2]> : tensor<6xi64>
  %2 = graph.gather %k, %indices {axis = 1} : (tensor<2x3x4xf32>, tensor<6xi64>) -> tensor<2x6x4xf32>
  func.return %1, %2 : tensor<2x3x2x4xf32>, tensor<2x6x4xf32>
}

// Tiled heads are another order: the repetition is outside.
// CHECK-LABEL: @tiled
// CHECK-NEXT:    %0 = graph.reshape %k : (tensor<3x4xf32>) -> tensor<1x3x4xf32>
// CHECK-NEXT:    %1 = graph.expand %0 : (tensor<1x3x4xf32>) -> tensor<2x3x4xf32>
// CHECK-NEXT:    %2 = graph.reshape %1 : (tensor<2x3x4xf32>) -> tensor<6x4xf32>
// CHECK-NEXT:    func.return %2
func.func @tiled(%k: tensor<3x4xf32>) -> tensor<6x4xf32> {
  %0 = graph.concat %k, %k {axis = 0} : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<6x4xf32>
  func.return %0 : tensor<6x4xf32>
}

// Known indices in a row are a slice; others, and those that are out of range, are looked up.
// CHECK-LABEL: @known_indices
// CHECK-NEXT:    graph.slice %x {offsets = [4, 0], steps = [-2, 1]} : (tensor<5x4xf32>) -> tensor<3x4xf32>
// CHECK:         graph.gather
// CHECK:         graph.gather
func.func @known_indices(%x: tensor<5x4xf32>) -> (tensor<3x4xf32>, tensor<3x4xf32>, tensor<2x4xf32>) {
  %row = graph.constant dense<[4, 2, 0]> : tensor<3xi64>
  %0 = graph.gather %x, %row {axis = 0} : (tensor<5x4xf32>, tensor<3xi64>) -> tensor<3x4xf32>
  %mixed = graph.constant dense<[0, 1, 3]> : tensor<3xi64>
  %1 = graph.gather %x, %mixed {axis = 0} : (tensor<5x4xf32>, tensor<3xi64>) -> tensor<3x4xf32>
  %outside = graph.constant dense<[4, 5]> : tensor<2xi64>
  %2 = graph.gather %x, %outside {axis = 0} : (tensor<5x4xf32>, tensor<2xi64>) -> tensor<2x4xf32>
  func.return %0, %1, %2 : tensor<3x4xf32>, tensor<3x4xf32>, tensor<2x4xf32>
}
