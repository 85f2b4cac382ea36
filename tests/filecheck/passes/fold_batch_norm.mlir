// RUN: ait-opt %s -p fold-batch-norm,fold-constants --remarks 2>&1 | filecheck %s

// CHECK: remark: graph.batch_norm (bn): folded into graph.conv2d (conv)
// CHECK: remark: graph.batch_norm (shared): not folded into graph.conv2d (twice): its input has other uses
// CHECK: remark: graph.batch_norm (bn3): folded into graph.conv_transpose2d (up)

graph.parameter @w : tensor<4x3x1x1xf32>
graph.parameter @up : tensor<6x2x1x1xf32>
graph.parameter @mean : tensor<4xf32>
graph.parameter @variance : tensor<4xf32>

// CHECK-LABEL: @main
// CHECK-NOT:     graph.batch_norm
// CHECK:         graph.conv2d %x, {{.*}} {strides = [1, 1]{{.*}}source = "conv"}
// CHECK-NEXT:    func.return
func.func @main(%x: tensor<1x3x8x8xf32>) -> tensor<1x4x8x8xf32> {
  %w = graph.get_parameter @w : tensor<4x3x1x1xf32>
  %mean = graph.get_parameter @mean : tensor<4xf32>
  %variance = graph.get_parameter @variance : tensor<4xf32>
  %0 = graph.conv2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw", source = "conv"} : (tensor<1x3x8x8xf32>, tensor<4x3x1x1xf32>) -> tensor<1x4x8x8xf32>
  %1 = graph.batch_norm %0, %mean, %variance {axis = 1, eps = 0.5, source = "bn"} : (tensor<1x4x8x8xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
  func.return %1 : tensor<1x4x8x8xf32>
}

// CHECK-LABEL: @other_use
// CHECK:         graph.batch_norm
func.func @other_use(%x: tensor<1x3x8x8xf32>) -> (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) {
  %w = graph.get_parameter @w : tensor<4x3x1x1xf32>
  %mean = graph.get_parameter @mean : tensor<4xf32>
  %variance = graph.get_parameter @variance : tensor<4xf32>
  %0 = graph.conv2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw", source = "twice"} : (tensor<1x3x8x8xf32>, tensor<4x3x1x1xf32>) -> tensor<1x4x8x8xf32>
  %1 = graph.batch_norm %0, %mean, %variance {axis = 1, eps = 0.5, source = "shared"} : (tensor<1x4x8x8xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
  func.return %0, %1 : tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>
}

// Weights [c, o / groups, r, s] of transposed convolutions have their outputs in groups.
// CHECK-LABEL: @transposed
// CHECK-NOT:     graph.batch_norm
// CHECK:         graph.conv_transpose2d %x, {{.*}} {{{.*}}groups = 2{{.*}}source = "up"}
// CHECK-NEXT:    func.return
func.func @transposed(%x: tensor<1x6x8x8xf32>) -> tensor<1x4x8x8xf32> {
  %w = graph.get_parameter @up : tensor<6x2x1x1xf32>
  %mean = graph.get_parameter @mean : tensor<4xf32>
  %variance = graph.get_parameter @variance : tensor<4xf32>
  %0 = graph.conv_transpose2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], output_padding = [0, 0], dilations = [1, 1], groups = 2, layout = "nchw", source = "up"} : (tensor<1x6x8x8xf32>, tensor<6x2x1x1xf32>) -> tensor<1x4x8x8xf32>
  %1 = graph.batch_norm %0, %mean, %variance {axis = 1, eps = 0.5, source = "bn3"} : (tensor<1x4x8x8xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
  func.return %1 : tensor<1x4x8x8xf32>
}

// The folded weights are computed by @prepare.
// CHECK-LABEL: @prepare
// CHECK:         graph.rsqrt
// CHECK:         graph.mul {{.*}} : (tensor<2x3x2x1x1xf32>, tensor<2x1x2x1x1xf32>) -> tensor<2x3x2x1x1xf32>
// CHECK:         func.return {{.*}} : tensor<4x3x1x1xf32>, tensor<4xf32>
