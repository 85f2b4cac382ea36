// RUN: ait-opt %s -p cse-graph | filecheck %s

// Equal ops are one, whatever layer they come from; operands of commutative ops in any order.
// CHECK-LABEL: @shared
// CHECK-NEXT:    %0 = graph.add %x, %y
// CHECK-NEXT:    %1 = graph.mul %0, %0
// CHECK-NEXT:    func.return %1
func.func @shared(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  %0 = graph.add %x, %y {source = "a"} : tensor<4xf32>
  %1 = graph.add %y, %x {source = "b"} : tensor<4xf32>
  %2 = graph.mul %0, %1 : tensor<4xf32>
  func.return %2 : tensor<4xf32>
}

// Different properties, types or operand orders are different values.
// CHECK-LABEL: @different
// CHECK-COUNT-2: graph.softmax
// CHECK-COUNT-2: graph.sub
// CHECK-COUNT-2: graph.cast
func.func @different(%x: tensor<4x4xf32>, %y: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf16>, tensor<4x4xbf16>) {
  %0 = graph.softmax %x {axis = 0} : tensor<4x4xf32>
  %1 = graph.softmax %x {axis = 1} : tensor<4x4xf32>
  %2 = graph.sub %x, %y : tensor<4x4xf32>
  %3 = graph.sub %y, %x : tensor<4x4xf32>
  %4 = graph.cast %x : (tensor<4x4xf32>) -> tensor<4x4xf16>
  %5 = graph.cast %x : (tensor<4x4xf32>) -> tensor<4x4xbf16>
  func.return %0, %1, %2, %3, %4, %5 : tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf16>, tensor<4x4xbf16>
}
