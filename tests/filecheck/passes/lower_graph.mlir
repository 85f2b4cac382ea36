// RUN: ait-opt %s -p lower-movement,lower-graph | filecheck %s

// Views become access maps, a bias becomes an epilogue, broadcasting a stride of 0.
// CHECK-LABEL: @linear
// CHECK-NEXT:    kernel.empty : tensor<8x32xf32>
// CHECK-NEXT:    kernel.gemm ins(%x <offset 0, sizes [8, 16], strides [1, 8]> : tensor<16x8xf32>, %w <offset 0, sizes [16, 32], strides [1, 16]> : tensor<32x16xf32>, %b <offset 0, sizes [8, 32], strides [0, 1]> : tensor<32xf32>) outs({{.*}}) {groups = array<i64: 0, 1, 1, 1>} epilogue {
// CHECK:           arith.addf
// CHECK-NEXT:      kernel.yield
func.func @linear(%x: tensor<16x8xf32>, %w: tensor<32x16xf32>, %b: tensor<32xf32>) -> tensor<8x32xf32> {
  %0 = graph.permute %x {permutation = [1, 0]} : (tensor<16x8xf32>) -> tensor<8x16xf32>
  %1 = graph.linear %0, %w, %b : (tensor<8x16xf32>, tensor<32x16xf32>, tensor<32xf32>) -> tensor<8x32xf32>
  func.return %1 : tensor<8x32xf32>
}

// The mean over a dynamic dim divides by its value.
// CHECK-LABEL: @mean
// CHECK:         kernel.reduce ins(%x : {{.*}}{kind = #kernel<reduce_kind sum>, reduced = 1 : i64, extras = 0 : i64}
// CHECK:           kernel.extent <n, n in [1, 9]>
// CHECK-NEXT:      arith.sitofp
// CHECK-NEXT:      arith.divf
func.func @mean(%x: tensor<4x?xf32, #sym.dims<[4, n], n in [1, 9]>>) -> tensor<4xf32> {
  %0 = graph.reduce_mean %x {axes = [1]} : (tensor<4x?xf32, #sym.dims<[4, n], n in [1, 9]>>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// Scale and mask of attention are code of its score.
// CHECK-LABEL: @attention
// CHECK:         kernel.attention ins(%q : {{.*}}, %mask <offset 0, sizes [1, 2, 3, 3], strides [0, 0, 3, 1]>
// CHECK:         score {
// CHECK:           arith.mulf
// CHECK:           arith.select
func.func @attention(%q: tensor<1x2x3x4xf32>, %mask: tensor<3x3xi1>) -> tensor<1x2x3x4xf32> {
  %0 = graph.attention %q, %q, %q, %mask {scale = 0.5, causal} : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<3x3xi1>) -> tensor<1x2x3x4xf32>
  func.return %0 : tensor<1x2x3x4xf32>
}

// A narrow cast in the middle of a chain keeps its rounding; softmax runs along any axis.
// CHECK-LABEL: @cast
// CHECK:           arith.truncf {{.*}} : f32 to f16
// CHECK-NEXT:      arith.extf {{.*}} : f16 to f32
// CHECK:         kernel.rowwise ins({{.*}}<offset 0, sizes [4, 2], strides [1, 4]>
func.func @cast(%x: tensor<2x4xf32>) -> tensor<2x4xf16> {
  %0 = graph.cast %x : (tensor<2x4xf32>) -> tensor<2x4xf16>
  %1 = graph.softmax %0 {axis = 0} : tensor<2x4xf16>
  func.return %1 : tensor<2x4xf16>
}

// Windows side by side are one gemm, which writes each pixel's window in its place.
// CHECK-LABEL: @transposed_tiling
// CHECK:         kernel.gemm ins(%x : tensor<1x5x6x3xf32>, %w <offset 0, sizes [3, 2, 2, 4], strides [1, 6, 3, 12]> : tensor<4x2x2x3xf32>) outs(%{{.*}} <offset 0, sizes [1, 5, 6, 2, 2, 4], strides [0, 96, 8, 48, 4, 1]> : tensor<1x10x12x4xf32>) {groups = array<i64: 0, 3, 3, 1>}
func.func @transposed_tiling(%x: tensor<1x5x6x3xf32>, %w: tensor<4x2x2x3xf32>) -> tensor<1x10x12x4xf32> {
  %0 = graph.conv_transpose2d %x, %w {strides = [2, 2], padding = [0, 0, 0, 0], output_padding = [0, 0], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<1x5x6x3xf32>, tensor<4x2x2x3xf32>) -> tensor<1x10x12x4xf32>
  func.return %0 : tensor<1x10x12x4xf32>
}

// Others are convolutions of the image with zeros between its pixels, the kernel turned around.
// CHECK-LABEL: @transposed_overlapping
// CHECK:         kernel.conv ins(%x : tensor<1x5x6x3xf32>, %w <offset 24, sizes [4, 3, 3, 3], strides [27, -9, -3, 1]> : tensor<4x3x3x3xf32>)
// CHECK-SAME:    padding = array<i64: 1, 2, 2, 1>, dilations = array<i64: 1, 1>, input_dilations = array<i64: 2, 2>
func.func @transposed_overlapping(%x: tensor<1x5x6x3xf32>, %w: tensor<4x3x3x3xf32>) -> tensor<1x10x12x4xf32> {
  %0 = graph.conv_transpose2d %x, %w {strides = [2, 2], padding = [1, 0, 1, 1], output_padding = [1, 0], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<1x5x6x3xf32>, tensor<4x3x3x3xf32>) -> tensor<1x10x12x4xf32>
  func.return %0 : tensor<1x10x12x4xf32>
}
