// RUN: ait-opt %s -p lower,fuse-vertical --remarks 2>&1 | filecheck %s

// CHECK: kernel.copy: not folded into kernel.attention (tiled): no map over its domain reaches what was copied
// CHECK: not fused into kernel.gemm (cycle): another operand depends on it too: fusing would make a cycle
// CHECK: not fused into kernel.gemm (wide): the consumer does not read each element once

// `0.5 * (x @ w) + r`: the factor and the residual are both in the one epilogue.
// CHECK-LABEL: @scaled_residual
// CHECK-COUNT-1: kernel.gemm
// CHECK:           arith.constant 5.000000e-01
// CHECK:           arith.mulf
// CHECK:           arith.addf
// CHECK-NOT:     kernel.pointwise
func.func @scaled_residual(%x: tensor<8x16xf32>, %w: tensor<16x32xf32>, %r: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %half = graph.constant dense<0.5> : tensor<f32>
  %0 = graph.matmul %x, %w : (tensor<8x16xf32>, tensor<16x32xf32>) -> tensor<8x32xf32>
  %1 = graph.mul %half, %0 : (tensor<f32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %2 = graph.add %1, %r : tensor<8x32xf32>
  func.return %2 : tensor<8x32xf32>
}

// The result that is also an output is stored by the same kernel.
// CHECK-LABEL: @both_results
// CHECK:         %[[A:.*]], %[[B:.*]] = kernel.gemm
// CHECK-NOT:     kernel.pointwise
// CHECK:         func.return %[[A]], %[[B]]
func.func @both_results(%x: tensor<8x16xf32>, %w: tensor<16x32xf32>) -> (tensor<8x32xf32>, tensor<8x32xf32>) {
  %0 = graph.matmul %x, %w : (tensor<8x16xf32>, tensor<16x32xf32>) -> tensor<8x32xf32>
  %1 = graph.add %0, %0 : tensor<8x32xf32>
  func.return %0, %1 : tensor<8x32xf32>, tensor<8x32xf32>
}

// A reshape and a permute behind the gemm: its n group splits, and it writes permuted.
// CHECK-LABEL: @permuted_result
// CHECK:         kernel.gemm {{.*}}outs(%{{.*}} <offset 0, sizes [8, 4, 8], strides [8, 64, 1]> : tensor<256xf32>) {groups = array<i64: 0, 1, 2, 1>}
// CHECK-NOT:     kernel.copy
func.func @permuted_result(%x: tensor<8x16xf32>, %w: tensor<16x32xf32>) -> tensor<256xf32> {
  %0 = graph.matmul %x, %w : (tensor<8x16xf32>, tensor<16x32xf32>) -> tensor<8x32xf32>
  %1 = graph.reshape %0 : (tensor<8x32xf32>) -> tensor<8x4x8xf32>
  %2 = graph.permute %1 {permutation = [1, 0, 2]} : (tensor<8x4x8xf32>) -> tensor<4x8x8xf32>
  %3 = graph.reshape %2 : (tensor<4x8x8xf32>) -> tensor<256xf32>
  func.return %3 : tensor<256xf32>
}

// What precedes a softmax is its prologue, what follows its epilogue.
// CHECK-LABEL: @softmax
// CHECK-COUNT-1: kernel.rowwise
// CHECK-SAME:    prologue {
// CHECK:           math.tanh
// CHECK:         } epilogue {
// CHECK:           arith.mulf
// CHECK-NOT:     kernel.pointwise
func.func @softmax(%x: tensor<4x8xf32>, %u: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %0 = graph.tanh %x : tensor<4x8xf32>
  %1 = graph.softmax %0 {axis = 1} : tensor<4x8xf32>
  %2 = graph.mul %1, %u : tensor<4x8xf32>
  func.return %2 : tensor<4x8xf32>
}

// softmax(scaled and masked q k^T) v in any spelling is attention.
// CHECK-LABEL: @attention
// CHECK-NOT:     kernel.gemm
// CHECK:         kernel.attention
// CHECK-NOT:     kernel.gemm
// CHECK-NOT:     kernel.rowwise
func.func @attention(%q: tensor<2x3x4xf32>, %k: tensor<2x5x4xf32>, %v: tensor<2x5x6xf32>, %mask: tensor<5xf32>) -> tensor<2x3x6xf32> {
  %scale = graph.constant dense<2.0> : tensor<f32>
  %0 = graph.matmul %q, %k {transpose_b} : (tensor<2x3x4xf32>, tensor<2x5x4xf32>) -> tensor<2x3x5xf32>
  %1 = graph.div %0, %scale : (tensor<2x3x5xf32>, tensor<f32>) -> tensor<2x3x5xf32>
  %2 = graph.add %mask, %1 : (tensor<5xf32>, tensor<2x3x5xf32>) -> tensor<2x3x5xf32>
  %3 = graph.softmax %2 {axis = 2} : tensor<2x3x5xf32>
  %4 = graph.matmul %3, %v : (tensor<2x3x5xf32>, tensor<2x5x6xf32>) -> tensor<2x3x6xf32>
  func.return %4 : tensor<2x3x6xf32>
}

// Keys and values whose heads repeat are read as they are: 4 heads of queries, 2 of keys. The scale
// of the queries is code of the score.
// CHECK-LABEL: @grouped_queries
// CHECK-NOT:     kernel.copy
// CHECK-NOT:     kernel.pointwise
// CHECK:         kernel.attention ins(%q : tensor<1x4x3x6xf32>, %k : tensor<1x2x5x6xf32>, %v : tensor<1x2x5x6xf32>)
// CHECK-SAME:    score {
// CHECK-NEXT:    ^bb0(%[[S:.*]]: f32):
// CHECK-NEXT:      %[[C:.*]] = arith.constant 5.000000e-01
// CHECK-NEXT:      arith.mulf %[[S]], %[[C]]
// CHECK-NOT:     kernel.copy
func.func @grouped_queries(%q: tensor<1x4x3x6xf32>, %k: tensor<1x2x5x6xf32>, %v: tensor<1x2x5x6xf32>) -> tensor<1x4x3x6xf32> {
  %scale = graph.constant dense<0.5> : tensor<f32>
  %0 = graph.mul %q, %scale : (tensor<1x4x3x6xf32>, tensor<f32>) -> tensor<1x4x3x6xf32>
  %1 = graph.reshape %k : (tensor<1x2x5x6xf32>) -> tensor<1x2x1x5x6xf32>
  %2 = graph.expand %1 : (tensor<1x2x1x5x6xf32>) -> tensor<1x2x2x5x6xf32>
  %3 = graph.reshape %2 : (tensor<1x2x2x5x6xf32>) -> tensor<1x4x5x6xf32>
  %4 = graph.reshape %v : (tensor<1x2x5x6xf32>) -> tensor<1x2x1x5x6xf32>
  %5 = graph.expand %4 : (tensor<1x2x1x5x6xf32>) -> tensor<1x2x2x5x6xf32>
  %6 = graph.reshape %5 : (tensor<1x2x2x5x6xf32>) -> tensor<1x4x5x6xf32>
  %7 = graph.matmul %0, %3 {transpose_b} : (tensor<1x4x3x6xf32>, tensor<1x4x5x6xf32>) -> tensor<1x4x3x5xf32>
  %8 = graph.softmax %7 {axis = 3} : tensor<1x4x3x5xf32>
  %9 = graph.matmul %8, %6 : (tensor<1x4x3x5xf32>, tensor<1x4x5x6xf32>) -> tensor<1x4x3x6xf32>
  func.return %9 : tensor<1x4x3x6xf32>
}

// Head h reads keys h % 2: no attention has its groups so.
// CHECK-LABEL: @tiled_heads
// CHECK-COUNT-1: kernel.copy
// CHECK:         kernel.attention ins(%q : tensor<2x4x3x6xf32>, %[[K:.*]] : tensor<2x2x2x5x6xf32>, %[[K]] : tensor<2x2x2x5x6xf32>)
func.func @tiled_heads(%q: tensor<2x4x3x6xf32>, %k: tensor<2x2x5x6xf32>) -> tensor<2x4x3x6xf32> {
  %1 = graph.reshape %k : (tensor<2x2x5x6xf32>) -> tensor<2x1x2x5x6xf32>
  %2 = graph.expand %1 : (tensor<2x1x2x5x6xf32>) -> tensor<2x2x2x5x6xf32>
  %3 = graph.reshape %2 : (tensor<2x2x2x5x6xf32>) -> tensor<2x4x5x6xf32>
  %4 = graph.attention %q, %3, %3 {scale = 1.0, source = "tiled"} : (tensor<2x4x3x6xf32>, tensor<2x4x5x6xf32>, tensor<2x4x5x6xf32>) -> tensor<2x4x3x6xf32>
  func.return %4 : tensor<2x4x3x6xf32>
}

// The other operand is a sum over the gemm's own result.
// CHECK-LABEL: @cycle
// CHECK:         kernel.gemm
// CHECK:         kernel.reduce
// CHECK:         kernel.pointwise
func.func @cycle(%x: tensor<8x16xf32>, %w: tensor<16x32xf32>) -> tensor<8x32xf32> {
  %0 = graph.matmul %x, %w {source = "cycle"} : (tensor<8x16xf32>, tensor<16x32xf32>) -> tensor<8x32xf32>
  %1 = graph.reduce_sum %0 {axes = [1], keepdims} : (tensor<8x32xf32>) -> tensor<8x1xf32>
  %2 = graph.div %0, %1 : (tensor<8x32xf32>, tensor<8x1xf32>) -> tensor<8x32xf32>
  func.return %2 : tensor<8x32xf32>
}

// The gemm's result is the one that broadcasts.
// CHECK-LABEL: @broadcast_the_other_way
// CHECK:         kernel.gemm
// CHECK:         kernel.pointwise
func.func @broadcast_the_other_way(%x: tensor<1x16xf32>, %w: tensor<16x32xf32>, %r: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %0 = graph.matmul %x, %w {source = "wide"} : (tensor<1x16xf32>, tensor<16x32xf32>) -> tensor<1x32xf32>
  %1 = graph.mul %0, %r : (tensor<1x32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  func.return %1 : tensor<8x32xf32>
}
