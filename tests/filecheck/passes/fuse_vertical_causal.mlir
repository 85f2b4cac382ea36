// RUN: ait-opt %s -p simplify,lower,fuse-vertical | filecheck %s
// RUN: ait-opt %s -p simplify,lower,fuse-vertical --remarks 2>&1 | filecheck %s --check-prefix=REMARK

// The mask is gone: the kernel skips what it hid.
// CHECK-LABEL: @causal
// CHECK:         kernel.attention ins(%q : {{.*}}, %k : {{.*}}, %v : {{[^,]*}}) outs({{.*}}) {causal
// CHECK-NEXT:    ^bb0(%[[S:.*]]: f32):
// CHECK-NEXT:      kernel.yield %[[S]] : f32
// REMARK:        kernel.attention (causal): its mask hides the keys behind each query
func.func @causal(%q: tensor<1x2x8x6xf32>, %k: tensor<1x2x8x6xf32>, %v: tensor<1x2x8x6xf32>) -> tensor<1x2x8x6xf32> {
  %rows = graph.iota {axis = 0} : tensor<8x1xi64>
  %columns = graph.iota {axis = 1} : tensor<1x8xi64>
  %seen = graph.greater_equal %rows, %columns : (tensor<8x1xi64>, tensor<1x8xi64>) -> tensor<8x8xi1>
  %0 = graph.attention %q, %k, %v, %seen {scale = 1.0, source = "causal"} : (tensor<1x2x8x6xf32>, tensor<1x2x8x6xf32>, tensor<1x2x8x6xf32>, tensor<8x8xi1>) -> tensor<1x2x8x6xf32>
  func.return %0 : tensor<1x2x8x6xf32>
}

// Queries and keys are counted from the first: with more keys that is another mask, which stays
// beside what causal skips.
// CHECK-LABEL: @first_with_first
// CHECK:         kernel.attention
// CHECK:           kernel.index
// CHECK:           arith.cmpi
func.func @first_with_first(%q: tensor<1x2x4x6xf32>, %k: tensor<1x2x8x6xf32>, %v: tensor<1x2x8x6xf32>) -> tensor<1x2x4x6xf32> {
  %rows = graph.iota {axis = 0} : tensor<4x1xi64>
  %columns = graph.iota {axis = 1} : tensor<1x8xi64>
  %seen = graph.greater_equal %rows, %columns : (tensor<4x1xi64>, tensor<1x8xi64>) -> tensor<4x8xi1>
  %0 = graph.attention %q, %k, %v, %seen {scale = 1.0, source = "first"} : (tensor<1x2x4x6xf32>, tensor<1x2x8x6xf32>, tensor<1x2x8x6xf32>, tensor<4x8xi1>) -> tensor<1x2x4x6xf32>
  func.return %0 : tensor<1x2x4x6xf32>
}

// The tanh of a tensor that repeats is computed once for each element that differs.
// CHECK-LABEL: @repeated
// CHECK:         kernel.pointwise ins(%x : tensor<4xf32>) outs(%{{.*}} : tensor<4xf32>)
// CHECK:           math.tanh
// CHECK:         kernel.pointwise ins(%{{.*}} <offset 0, sizes [5, 2, 4], strides [0, 0, 1]> : tensor<4xf32>, %y : tensor<5x2x4xf32>)
// REMARK:        kernel.pointwise{{.*}}: computes what repeats once
func.func @repeated(%x: tensor<4xf32>, %y: tensor<5x2x4xf32>) -> tensor<5x2x4xf32> {
  %0 = graph.concat %x, %x {axis = 0} : (tensor<4xf32>, tensor<4xf32>) -> tensor<8xf32>
  %1 = graph.tanh %0 : tensor<8xf32>
  %2 = graph.reshape %1 : (tensor<8xf32>) -> tensor<2x4xf32>
  %3 = graph.mul %2, %y : (tensor<2x4xf32>, tensor<5x2x4xf32>) -> tensor<5x2x4xf32>
  func.return %3 : tensor<5x2x4xf32>
}

// As a factor of a product it is dense.
// CHECK-LABEL: @repeated_factor
// CHECK:         kernel.pointwise {{.*}} outs({{.*}} : tensor<8xf32>)
// CHECK:         kernel.gemm
func.func @repeated_factor(%x: tensor<4xf32>, %w: tensor<4x5xf32>) -> tensor<2x5xf32> {
  %0 = graph.concat %x, %x {axis = 0} : (tensor<4xf32>, tensor<4xf32>) -> tensor<8xf32>
  %1 = graph.tanh %0 : tensor<8xf32>
  %2 = graph.reshape %1 : (tensor<8xf32>) -> tensor<2x4xf32>
  %3 = graph.matmul %2, %w : (tensor<2x4xf32>, tensor<4x5xf32>) -> tensor<2x5xf32>
  func.return %3 : tensor<2x5xf32>
}
