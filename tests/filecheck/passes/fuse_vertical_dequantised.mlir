// RUN: ait-opt %s -p fold-constants,lower-movement,lower-graph,fuse-vertical | filecheck %s

// A product of dequantised factors reads the numbers of 8 bits; scales are code behind it. Weights
// stay as they are stored, and what is computed of their scales is computed once.

graph.parameter @w : tensor<16x32xf8E4M3FN>
graph.parameter @s : tensor<16x1xf32>

// CHECK:         graph.parameter @s.folded derived : tensor<16x1xf32>
// CHECK-LABEL: @main
// CHECK-NEXT:    %w = graph.get_parameter @w : tensor<16x32xf8E4M3FN>
// CHECK-NEXT:    %[[S:.*]] = graph.get_parameter @s.folded : tensor<16x1xf32>
// CHECK-NEXT:    kernel.empty
// CHECK-NEXT:    %{{.*}} = kernel.gemm ins(%x : tensor<8x32xf8E4M3FN>, %w <offset 0, sizes [32, 16], strides [1, 32]> : tensor<16x32xf8E4M3FN>, %r <offset 0, sizes [8, 16], strides [1, 0]> : tensor<8x1xf32>, %[[S]] <offset 0, sizes [8, 16], strides [0, 1]> : tensor<16x1xf32>) outs({{.*}} : tensor<8x16xf8E4M3FN>)
// CHECK-NEXT:    ^{{.*}}(%[[ACC:.*]]: f32, %[[ROW:.*]]: f32, %[[COLUMN:.*]]: f32):
// CHECK-NEXT:      %[[ONE:.*]] = arith.mulf %[[ACC]], %[[COLUMN]] : f32
// CHECK-NEXT:      %[[BOTH:.*]] = arith.mulf %[[ONE]], %[[ROW]] : f32
// CHECK:           arith.maximumf %[[BOTH]]
// CHECK:           arith.minimumf
// CHECK:           arith.truncf {{.*}} : f32 to f8E4M3FN
// CHECK-NOT:     kernel.{{(gemm|pointwise)}}
// CHECK-LABEL: @prepare
func.func @main(%x: tensor<8x32xf8E4M3FN>, %r: tensor<8x1xf32>) -> tensor<8x16xf8E4M3FN> {
  %w = graph.get_parameter @w : tensor<16x32xf8E4M3FN>
  %s = graph.get_parameter @s : tensor<16x1xf32>
  %step = graph.abs %s : tensor<16x1xf32>
  %wide = graph.cast %w : (tensor<16x32xf8E4M3FN>) -> tensor<16x32xf32>
  %weight = graph.mul %wide, %step : (tensor<16x32xf32>, tensor<16x1xf32>) -> tensor<16x32xf32>
  %half = graph.cast %weight : (tensor<16x32xf32>) -> tensor<16x32xf16>
  %left = graph.cast %x : (tensor<8x32xf8E4M3FN>) -> tensor<8x32xf32>
  %scaled = graph.mul %left, %r : (tensor<8x32xf32>, tensor<8x1xf32>) -> tensor<8x32xf32>
  %rounded = graph.cast %scaled : (tensor<8x32xf32>) -> tensor<8x32xf16>
  %y = graph.linear %rounded, %half : (tensor<8x32xf16>, tensor<16x32xf16>) -> tensor<8x16xf16>
  %c = graph.clamp %y {min = -448.0, max = 448.0} : tensor<8x16xf16>
  %q = graph.cast %c : (tensor<8x16xf16>) -> tensor<8x16xf8E4M3FN>
  func.return %q : tensor<8x16xf8E4M3FN>
}
