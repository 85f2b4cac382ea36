// RUN: ait-opt %s -p raise-patterns | filecheck %s

// CHECK-LABEL: @layer_norm
// CHECK-NEXT:    %y = graph.layer_norm %x {axes_rank = 1, eps = 0.5} : tensor<2x4xf32>
// CHECK-NEXT:    func.return %y
func.func @layer_norm(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %mean = graph.reduce_mean %x {axes = [1], keepdims} : (tensor<2x4xf32>) -> tensor<2x1xf32>
  %centered = graph.sub %x, %mean : (tensor<2x4xf32>, tensor<2x1xf32>) -> tensor<2x4xf32>
  %square = graph.mul %centered, %centered : tensor<2x4xf32>
  %variance = graph.reduce_mean %square {axes = [1], keepdims} : (tensor<2x4xf32>) -> tensor<2x1xf32>
  %eps = graph.constant dense<0.5> : tensor<f32>
  %sum = graph.add %eps, %variance : (tensor<f32>, tensor<2x1xf32>) -> tensor<2x1xf32>
  %root = graph.sqrt %sum : tensor<2x1xf32>
  %y = graph.div %centered, %root : (tensor<2x4xf32>, tensor<2x1xf32>) -> tensor<2x4xf32>
  func.return %y : tensor<2x4xf32>
}

// The mean of one tensor and the variance of another are no norm.
// CHECK-LABEL: @not_layer_norm
// CHECK-NOT:     graph.layer_norm
func.func @not_layer_norm(%x: tensor<2x4xf32>, %z: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %mean = graph.reduce_mean %z {axes = [1], keepdims} : (tensor<2x4xf32>) -> tensor<2x1xf32>
  %centered = graph.sub %x, %mean : (tensor<2x4xf32>, tensor<2x1xf32>) -> tensor<2x4xf32>
  %square = graph.mul %centered, %centered : tensor<2x4xf32>
  %variance = graph.reduce_mean %square {axes = [1], keepdims} : (tensor<2x4xf32>) -> tensor<2x1xf32>
  %eps = graph.constant dense<0.5> : tensor<f32>
  %sum = graph.add %variance, %eps : (tensor<2x1xf32>, tensor<f32>) -> tensor<2x1xf32>
  %root = graph.sqrt %sum : tensor<2x1xf32>
  %y = graph.div %centered, %root : (tensor<2x4xf32>, tensor<2x1xf32>) -> tensor<2x4xf32>
  func.return %y : tensor<2x4xf32>
}

// CHECK-LABEL: @softmax
// CHECK-NEXT:    %y = graph.softmax %x {axis = 1} : tensor<2x4xf32>
// CHECK-NEXT:    func.return %y
func.func @softmax(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %largest = graph.reduce_max %x {axes = [1], keepdims} : (tensor<2x4xf32>) -> tensor<2x1xf32>
  %shifted = graph.sub %x, %largest : (tensor<2x4xf32>, tensor<2x1xf32>) -> tensor<2x4xf32>
  %e = graph.exp %shifted : tensor<2x4xf32>
  %total = graph.reduce_sum %e {axes = [1], keepdims} : (tensor<2x4xf32>) -> tensor<2x1xf32>
  %y = graph.div %e, %total : (tensor<2x4xf32>, tensor<2x1xf32>) -> tensor<2x4xf32>
  func.return %y : tensor<2x4xf32>
}

// A product with the inverse, and reductions whose dim comes back later.
// CHECK-LABEL: @softmax_of_inverse
// CHECK-NEXT:    %y = graph.softmax %x {axis = 1} : tensor<4x4xf32>
// CHECK-NEXT:    func.return %y
func.func @softmax_of_inverse(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %largest = graph.reduce_max %x {axes = [1]} : (tensor<4x4xf32>) -> tensor<4xf32>
  %column = graph.reshape %largest : (tensor<4xf32>) -> tensor<4x1xf32>
  %shifted = graph.sub %x, %column : (tensor<4x4xf32>, tensor<4x1xf32>) -> tensor<4x4xf32>
  %e = graph.exp %shifted : tensor<4x4xf32>
  %sum = graph.reduce_sum %e {axes = [1]} : (tensor<4x4xf32>) -> tensor<4xf32>
  %total = graph.reshape %sum : (tensor<4xf32>) -> tensor<4x1xf32>
  %inverse = graph.reciprocal %total : tensor<4x1xf32>
  %y = graph.mul %inverse, %e : (tensor<4x1xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  func.return %y : tensor<4x4xf32>
}

// The sums of rows come back as a row.
// CHECK-LABEL: @sums_of_the_other_axis
// CHECK-NOT:     graph.softmax
// CHECK:         func.return
func.func @sums_of_the_other_axis(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %e = graph.exp %x : tensor<4x4xf32>
  %sum = graph.reduce_sum %e {axes = [1]} : (tensor<4x4xf32>) -> tensor<4xf32>
  %total = graph.reshape %sum : (tensor<4xf32>) -> tensor<1x4xf32>
  %y = graph.div %e, %total : (tensor<4x4xf32>, tensor<1x4xf32>) -> tensor<4x4xf32>
  func.return %y : tensor<4x4xf32>
}

// The factors of a product may come in any order.
// CHECK-LABEL: @gelu
// CHECK-NEXT:    %0 = graph.gelu %x
// CHECK-NEXT:    func.return %0
func.func @gelu(%x: tensor<4xf32>) -> tensor<4xf32> {
  %root = graph.constant dense<1.4142135> : tensor<f32>
  %half = graph.constant dense<0.5> : tensor<f32>
  %one = graph.constant dense<1.0> : tensor<f32>
  %0 = graph.div %x, %root : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %1 = graph.erf %0 : tensor<4xf32>
  %2 = graph.add %one, %1 : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %3 = graph.mul %2, %x : tensor<4xf32>
  %4 = graph.mul %half, %3 : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %4 : tensor<4xf32>
}

// With a factor of 0.25 it is half a gelu, which is no gelu.
// CHECK-LABEL: @not_gelu
// CHECK:         graph.erf
func.func @not_gelu(%x: tensor<4xf32>) -> tensor<4xf32> {
  %root = graph.constant dense<1.4142135> : tensor<f32>
  %half = graph.constant dense<0.25> : tensor<f32>
  %one = graph.constant dense<1.0> : tensor<f32>
  %0 = graph.div %x, %root : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %1 = graph.erf %0 : tensor<4xf32>
  %2 = graph.add %one, %1 : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %3 = graph.mul %2, %x : tensor<4xf32>
  %4 = graph.mul %half, %3 : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %4 : tensor<4xf32>
}

// A literal triangle compares rows and columns.
// CHECK-LABEL: @triangle
// CHECK-NEXT:    %[[ROWS:.*]] = graph.iota {axis = 0} : tensor<2x1xi64>
// CHECK-NEXT:    %[[COLUMNS:.*]] = graph.iota {axis = 1} : tensor<1x3xi64>
// CHECK-NEXT:    %[[ONE:.*]] = graph.constant dense<-1> : tensor<i64>
// CHECK-NEXT:    %[[SHIFTED:.*]] = graph.add %[[COLUMNS]], %[[ONE]] :
// CHECK-NEXT:    %[[SEEN:.*]] = graph.less_equal %[[SHIFTED]], %[[ROWS]] :
// CHECK-NEXT:    graph.select %[[SEEN]], %x, %y
func.func @triangle(%x: tensor<2x3xf32>, %y: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %seen = graph.constant dense<[[true, true, false], [true, true, true]]> : tensor<2x3xi1>
  %0 = graph.select %seen, %x, %y : (tensor<2x3xi1>, tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  func.return %0 : tensor<2x3xf32>
}

// One element more, and a triangle that something multiplies by, stay literals.
// CHECK-LABEL: @not_triangles
// CHECK-NOT:     graph.iota
// CHECK:         func.return
func.func @not_triangles(%x: tensor<3x3xf32>) -> (tensor<3x3xf32>, tensor<3x3xf32>) {
  %0 = graph.constant dense<[[0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]> : tensor<3x3xf32>
  %1 = graph.add %x, %0 : tensor<3x3xf32>
  %2 = graph.constant dense<[[0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]> : tensor<3x3xf32>
  %3 = graph.matmul %x, %2 : (tensor<3x3xf32>, tensor<3x3xf32>) -> tensor<3x3xf32>
  func.return %1, %3 : tensor<3x3xf32>, tensor<3x3xf32>
}
