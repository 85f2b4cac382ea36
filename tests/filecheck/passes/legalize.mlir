// RUN: ait-opt %s -p lower,legalize --target cpu --remarks 2>&1 | filecheck %s

graph.parameter @w : tensor<32x16xf32>
graph.parameter @c : tensor<8x3x3x3xf32>

// Convolution weights [O, I, R, S] are stored in the order in which kernels read them.
// CHECK-LABEL: @conv
// CHECK:         %[[W:.*]] = graph.get_parameter @c.packed : tensor<8x3x3x3xf32>
// CHECK:         kernel.conv ins(%x {{.*}}, %[[W]] : tensor<8x3x3x3xf32>)
func.func @conv(%x: tensor<1x3x8x8xf32>) -> tensor<1x8x6x6xf32> {
  %c = graph.get_parameter @c : tensor<8x3x3x3xf32>
  %0 = graph.conv2d %x, %c {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x3x8x8xf32>, tensor<8x3x3x3xf32>) -> tensor<1x8x6x6xf32>
  func.return %0 : tensor<1x8x6x6xf32>
}
