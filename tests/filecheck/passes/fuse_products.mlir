// RUN: ait-opt %s -p lower,fuse-vertical,fuse-products --remarks 2>&1 | filecheck %s
// RUN: ait-opt %s -p lower,fuse-vertical,fuse-products --target cpu --remarks 2>&1 | filecheck %s --check-prefix=CPU

// CHECK: remark: kernel.gemm (next): kernel.gemm (residual) and kernel.gemm (next) are one kernel: {{.*}} us in place of {{.*}} us
// CHECK: remark: kernel.gemm (second): not one kernel with kernel.gemm (both), its left factor: another operand depends on it too: fusing would make a cycle
// CPU: remark: kernel.gemm (next): not one kernel with kernel.gemm (residual), its left factor: a middle never passes in parts on cpu

// The middle is the second result; what reads it stands behind the kernel.
// CHECK-LABEL: @end_and_begin_of_blocks
// CHECK:         [[Y:%[0-9]+]], [[T:%[0-9]+]] = kernel.back_to_back_gemm ins(%x : tensor<8x16xf32>, %w <offset 0, sizes [16, 32], strides [1, 16]> : tensor<32x16xf32>, %v <offset 0, sizes [32, 4], strides [1, 32]> : tensor<4x32xf32>, %b <offset 0, sizes [8, 32], strides [0, 1]> : tensor<32xf32>, %s : tensor<8x32xf32>, %c <offset 0, sizes [8, 4], strides [0, 1]> : tensor<4xf32>) outs({{.*}} : tensor<8x4xf32>, {{.*}} : tensor<8x32xf32>) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 2 : i64, keeps_middle, source = "next"} middle {
// CHECK-NEXT:    ^bb0(%[[SUM:.*]]: f32, %[[BIAS:.*]]: f32, %[[SHORT:.*]]: f32):
// CHECK-NEXT:      %[[A:.*]] = arith.addf %[[SUM]], %[[BIAS]] : f32
// CHECK-NEXT:      %[[R:.*]] = arith.addf %[[A]], %[[SHORT]] : f32
// CHECK:           %[[RELU:.*]] = arith.maximumf %[[R]], %{{.*}} : f32
// CHECK-NEXT:      kernel.yield %[[RELU]] : f32
// CHECK-NEXT:    } epilogue {
// CHECK:         kernel.reduce ins([[T]] : tensor<8x32xf32>)
// CHECK:         func.return [[T]], {{.*}}, [[Y]]
func.func @end_and_begin_of_blocks(%x: tensor<8x16xf32>, %w: tensor<32x16xf32>, %b: tensor<32xf32>, %s: tensor<8x32xf32>, %v: tensor<4x32xf32>, %c: tensor<4xf32>) -> (tensor<8x32xf32>, tensor<8xf32>, tensor<8x4xf32>) {
  %0 = graph.linear %x, %w, %b {source = "residual"} : (tensor<8x16xf32>, tensor<32x16xf32>, tensor<32xf32>) -> tensor<8x32xf32>
  %1 = graph.add %0, %s : (tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %2 = graph.relu %1 : tensor<8x32xf32>
  %3 = graph.reduce_sum %2 {axes = [1]} : (tensor<8x32xf32>) -> tensor<8xf32>
  %4 = graph.linear %2, %v, %c {source = "next"} : (tensor<8x32xf32>, tensor<4x32xf32>, tensor<4xf32>) -> tensor<8x4xf32>
  func.return %2, %3, %4 : tensor<8x32xf32>, tensor<8xf32>, tensor<8x4xf32>
}

// CHECK-LABEL: @reader_of_both
// CHECK-COUNT-2: kernel.gemm ins
func.func @reader_of_both(%x: tensor<8x16xf32>, %w: tensor<32x16xf32>, %v: tensor<4x32xf32>) -> tensor<8x4xf32> {
  %0 = graph.linear %x, %w {source = "both"} : (tensor<8x16xf32>, tensor<32x16xf32>) -> tensor<8x32xf32>
  %1 = graph.reduce_sum %0 {axes = [1], keepdims} : (tensor<8x32xf32>) -> tensor<8x1xf32>
  %2 = graph.linear %0, %v {source = "second"} : (tensor<8x32xf32>, tensor<4x32xf32>) -> tensor<8x4xf32>
  %3 = graph.add %2, %1 : (tensor<8x4xf32>, tensor<8x1xf32>) -> tensor<8x4xf32>
  func.return %3 : tensor<8x4xf32>
}
