// RUN: ait-opt %s -p lower,fuse-vertical,legalize --target cuda --remarks 2>&1 | filecheck %s

graph.parameter @w : tensor<16x8x1x1xf16>
graph.parameter @b : tensor<16xf16>
graph.parameter @g : tensor<16x4x1x1xf16>

// A convolution of single pixels is a product over the channels; its epilogue stays.
// CHECK-LABEL: @product
// CHECK:         %[[W:.*]] = graph.get_parameter @w
// CHECK-NOT:     kernel.conv
// CHECK:         kernel.gemm ins(%x : tensor<2x5x4x8xf16>, %[[W]] <offset 0, sizes [8, 16], strides [1, 8]> : {{.*}}, %{{.*}} <offset 0, sizes [2, 5, 4, 16], strides [0, 0, 0, 1]> : tensor<16xf16>) outs({{.*}}) {groups = array<i64: 0, 3, 1, 1>} epilogue
// CHECK:           arith.maximumf
func.func @product(%x: tensor<2x5x4x8xf16>) -> tensor<2x5x4x16xf16> {
  %w = graph.get_parameter @w : tensor<16x8x1x1xf16>
  %b = graph.get_parameter @b : tensor<16xf16>
  %v = graph.permute %w {permutation = [0, 2, 3, 1]} : (tensor<16x8x1x1xf16>) -> tensor<16x1x1x8xf16>
  %0 = graph.conv2d %x, %v, %b {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<2x5x4x8xf16>, tensor<16x1x1x8xf16>, tensor<16xf16>) -> tensor<2x5x4x16xf16>
  %1 = graph.relu %0 : tensor<2x5x4x16xf16>
  func.return %1 : tensor<2x5x4x16xf16>
}

// Strides skip pixels, padding adds some: a convolution.
// CHECK-LABEL: @strided
// CHECK:         kernel.conv
func.func @strided(%x: tensor<2x5x4x8xf16>) -> tensor<2x3x2x16xf16> {
  %w = graph.get_parameter @w : tensor<16x8x1x1xf16>
  %v = graph.permute %w {permutation = [0, 2, 3, 1]} : (tensor<16x8x1x1xf16>) -> tensor<16x1x1x8xf16>
  %0 = graph.conv2d %x, %v {strides = [2, 2], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<2x5x4x8xf16>, tensor<16x1x1x8xf16>) -> tensor<2x3x2x16xf16>
  func.return %0 : tensor<2x3x2x16xf16>
}

// CHECK-LABEL: @padded
// CHECK:         kernel.conv
func.func @padded(%x: tensor<2x5x4x8xf16>) -> tensor<2x7x6x16xf16> {
  %w = graph.get_parameter @w : tensor<16x8x1x1xf16>
  %v = graph.permute %w {permutation = [0, 2, 3, 1]} : (tensor<16x8x1x1xf16>) -> tensor<16x1x1x8xf16>
  %0 = graph.conv2d %x, %v {strides = [1, 1], padding = [1, 1, 1, 1], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<2x5x4x8xf16>, tensor<16x1x1x8xf16>) -> tensor<2x7x6x16xf16>
  func.return %0 : tensor<2x7x6x16xf16>
}

// Groups are products of parts of the channels.
// CHECK-LABEL: @grouped
// CHECK:         kernel.conv
func.func @grouped(%x: tensor<2x5x4x8xf16>) -> tensor<2x5x4x16xf16> {
  %w = graph.get_parameter @g : tensor<16x4x1x1xf16>
  %v = graph.permute %w {permutation = [0, 2, 3, 1]} : (tensor<16x4x1x1xf16>) -> tensor<16x1x1x4xf16>
  %0 = graph.conv2d %x, %v {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 2, layout = "nhwc"} : (tensor<2x5x4x8xf16>, tensor<16x1x1x4xf16>) -> tensor<2x5x4x16xf16>
  func.return %0 : tensor<2x5x4x16xf16>
}
