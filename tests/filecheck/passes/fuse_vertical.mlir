// RUN: ait-opt %s -p lower,fuse-vertical --remarks 2>&1 | filecheck %s

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
