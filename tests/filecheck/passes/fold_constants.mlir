// RUN: ait-opt %s -p fold-constants | filecheck %s

graph.parameter @w : tensor<4x4xf32>
graph.parameter @s : tensor<4x1xf32>

// CHECK:         graph.parameter @constant.table = dense<[1, 2]> : tensor<2xi64>
// CHECK:         graph.parameter @w.folded derived : tensor<4x4xf32>

// What depends on weights alone moves; views of weights stay, they cost nothing.
// CHECK-LABEL: @main
// CHECK-NEXT:    %w = graph.get_parameter @w :
// CHECK-NEXT:    %folded = graph.get_parameter @w.folded :
// CHECK-NEXT:    %view = graph.permute %w
// CHECK-NEXT:    graph.matmul %x, %view
// CHECK-NEXT:    graph.linear {{.*}}, %folded
// CHECK:         graph.get_parameter @constant.table
func.func @main(%x: tensor<3x4xf32>) -> (tensor<3x4xf32>, tensor<2xi64>) {
  %w = graph.get_parameter @w : tensor<4x4xf32>
  %s = graph.get_parameter @s : tensor<4x1xf32>
  %folded = graph.mul %w, %s : (tensor<4x4xf32>, tensor<4x1xf32>) -> tensor<4x4xf32>
  %view = graph.permute %w {permutation = [1, 0]} : tensor<4x4xf32>
  %0 = graph.matmul %x, %view : (tensor<3x4xf32>, tensor<4x4xf32>) -> tensor<3x4xf32>
  %1 = graph.linear %0, %folded : (tensor<3x4xf32>, tensor<4x4xf32>) -> tensor<3x4xf32>
  %table = graph.constant dense<[1, 2]> : tensor<2xi64>
  func.return %1, %table : tensor<3x4xf32>, tensor<2xi64>
}

// CHECK-LABEL: @prepare
// CHECK:         %[[F:.*]] = graph.mul
// CHECK-NEXT:    func.return %[[F]]
