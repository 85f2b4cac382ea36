// RUN: ait-opt %s -p lower,legalize --target cpu --remarks 2>&1 | filecheck %s

// CHECK: remark: kernel.conv (up): split into 4 kernels that skip the zeros

graph.parameter @w : tensor<32x16xf32>
graph.parameter @t : tensor<3x4x3x3xf32>
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

// A transposed convolution of stride 2: an even output pixel meets the odd taps of 3, an odd one the
// even taps. Each phase writes every second pixel and has weights of its own.
// CHECK-LABEL: @transposed
// CHECK-NOT:     input_dilations
// CHECK:         %[[A:.*]] = kernel.conv ins(%x {{.*}}, %{{.*}} : tensor<4x1x1x3xf32>) outs(%{{.*}} <offset 0, sizes [1, 5, 5, 4], strides [0, 18, 2, 81]> : tensor<1x4x9x9xf32>) {{{.*}}padding = array<i64: 0, 0, 0, 0>
// CHECK:         %[[B:.*]] = kernel.conv ins(%x {{.*}}, %{{.*}} : tensor<4x1x2x3xf32>) outs(%[[A]] <offset 1, sizes [1, 5, 4, 4], strides [0, 18, 2, 81]> : tensor<1x4x9x9xf32>) {{{.*}}padding = array<i64: 0, 0, 0, 0>
// CHECK:         %[[C:.*]] = kernel.conv ins(%x {{.*}}, %{{.*}} : tensor<4x2x1x3xf32>) outs(%[[B]] <offset 9, sizes [1, 4, 5, 4], strides [0, 18, 2, 81]> : tensor<1x4x9x9xf32>) {{{.*}}padding = array<i64: 0, 0, 0, 0>
// CHECK:         %[[D:.*]] = kernel.conv ins(%x {{.*}}, %{{.*}} : tensor<4x2x2x3xf32>) outs(%[[C]] <offset 10, sizes [1, 4, 4, 4], strides [0, 18, 2, 81]> : tensor<1x4x9x9xf32>) {{{.*}}padding = array<i64: 0, 0, 0, 0>
// CHECK:         func.return %[[D]]
func.func @transposed(%x: tensor<1x3x5x5xf32>) -> tensor<1x4x9x9xf32> {
  %c = graph.get_parameter @t : tensor<3x4x3x3xf32>
  %0 = graph.conv_transpose2d %x, %c {strides = [2, 2], padding = [1, 1, 1, 1], output_padding = [0, 0], dilations = [1, 1], groups = 1, layout = "nchw", source = "up"} : (tensor<1x3x5x5xf32>, tensor<3x4x3x3xf32>) -> tensor<1x4x9x9xf32>
  func.return %0 : tensor<1x4x9x9xf32>
}

// Pixels that no tap reaches are the epilogue of 0.
// CHECK-LABEL: @scattered
// CHECK:         kernel.conv
// CHECK-COUNT-3: kernel.pointwise
func.func @scattered(%x: tensor<1x3x5x5xf32>, %w: tensor<3x4x1x1xf32>) -> tensor<1x4x9x9xf32> {
  %0 = graph.conv_transpose2d %x, %w {strides = [2, 2], padding = [0, 0, 0, 0], output_padding = [0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x3x5x5xf32>, tensor<3x4x1x1xf32>) -> tensor<1x4x9x9xf32>
  func.return %0 : tensor<1x4x9x9xf32>
}
