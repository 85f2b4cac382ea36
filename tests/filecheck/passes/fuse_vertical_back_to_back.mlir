// RUN: ait-opt %s -p lower,fuse-vertical --remarks 2>&1 | filecheck %s

// CHECK: remark: kernel.gemm (down): kernel.gemm (up) and kernel.gemm (down) are one kernel: {{.*}} us saved
// CHECK: remark: kernel.gemm (next): not one kernel with kernel.gemm (kept), its left factor: others read its results too
// CHECK: remark: kernel.gemm (second): kernel.gemm (first) and kernel.gemm (second) are one kernel: {{.*}} us saved
// CHECK: remark: kernel.gemm (narrow): not one kernel with kernel.gemm (wide), its left factor: a row of 2048 elements is more than the 512 that kernel.back_to_back_gemm holds on any

// The activation and the first bias are code of the middle.
// CHECK-LABEL: @mlp
// CHECK:         kernel.back_to_back_gemm ins(%x : tensor<8x16xf32>, %w <offset 0, sizes [16, 32], strides [1, 16]> : tensor<32x16xf32>, %v <offset 0, sizes [32, 4], strides [1, 32]> : tensor<4x32xf32>, %b <offset 0, sizes [8, 32], strides [0, 1]> : tensor<32xf32>, %c <offset 0, sizes [8, 4], strides [0, 1]> : tensor<4xf32>) outs({{.*}}) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 1 : i64, source = "down"} middle {
// CHECK-NEXT:    ^bb0(%[[SUM:.*]]: f32, %[[BIAS:.*]]: f32):
// CHECK-NEXT:      %[[V:.*]] = arith.addf %[[SUM]], %[[BIAS]] : f32
// CHECK:           %[[R:.*]] = arith.maximumf %[[V]], %{{.*}} : f32
// CHECK-NEXT:      kernel.yield %[[R]] : f32
// CHECK-NEXT:    } epilogue {
// CHECK-NEXT:    ^bb0(%[[SUM2:.*]]: f32, %[[BIAS2:.*]]: f32):
// CHECK-NEXT:      %[[Y:.*]] = arith.addf %[[SUM2]], %[[BIAS2]] : f32
// CHECK-NEXT:      kernel.yield %[[Y]] : f32
func.func @mlp(%x: tensor<8x16xf32>, %w: tensor<32x16xf32>, %b: tensor<32xf32>, %v: tensor<4x32xf32>, %c: tensor<4xf32>) -> tensor<8x4xf32> {
  %0 = graph.linear %x, %w, %b {source = "up"} : (tensor<8x16xf32>, tensor<32x16xf32>, tensor<32xf32>) -> tensor<8x32xf32>
  %1 = graph.relu %0 : tensor<8x32xf32>
  %2 = graph.linear %1, %v, %c {source = "down"} : (tensor<8x32xf32>, tensor<4x32xf32>, tensor<4xf32>) -> tensor<8x4xf32>
  func.return %2 : tensor<8x4xf32>
}

// CHECK-LABEL: @middle_is_output
// CHECK-COUNT-2: kernel.gemm ins
func.func @middle_is_output(%x: tensor<8x16xf32>, %w: tensor<16x16xf32>, %v: tensor<4x16xf32>) -> (tensor<8x16xf32>, tensor<8x4xf32>) {
  %0 = graph.linear %x, %w {source = "kept"} : (tensor<8x16xf32>, tensor<16x16xf32>) -> tensor<8x16xf32>
  %1 = graph.linear %0, %v {source = "next"} : (tensor<8x16xf32>, tensor<4x16xf32>) -> tensor<8x4xf32>
  func.return %0, %1 : tensor<8x16xf32>, tensor<8x4xf32>
}

// Only the first right factor has batches: they are batches of both.
// CHECK-LABEL: @batches_of_the_first
// CHECK:         kernel.back_to_back_gemm ins(%x : tensor<3x8x16xf32>, %w : tensor<3x16x5xf32>, %v <offset 0, sizes [3, 5, 4], strides [0, 1, 5]> : tensor<4x5xf32>) outs({{.*}}) {groups = array<i64: 1, 1, 1, 1, 1>, middle_extras = 0 : i64
func.func @batches_of_the_first(%x: tensor<3x8x16xf32>, %w: tensor<3x16x5xf32>, %v: tensor<4x5xf32>) -> tensor<3x8x4xf32> {
  %0 = graph.matmul %x, %w {source = "first"} : (tensor<3x8x16xf32>, tensor<3x16x5xf32>) -> tensor<3x8x5xf32>
  %1 = graph.linear %0, %v {source = "second"} : (tensor<3x8x5xf32>, tensor<4x5xf32>) -> tensor<3x8x4xf32>
  func.return %1 : tensor<3x8x4xf32>
}

// CHECK-LABEL: @middle_does_not_fit
// CHECK-COUNT-2: kernel.gemm ins
func.func @middle_does_not_fit(%x: tensor<8x16xf32>, %w: tensor<2048x16xf32>, %v: tensor<4x2048xf32>) -> tensor<8x4xf32> {
  %0 = graph.linear %x, %w {source = "wide"} : (tensor<8x16xf32>, tensor<2048x16xf32>) -> tensor<8x2048xf32>
  %1 = graph.linear %0, %v {source = "narrow"} : (tensor<8x2048xf32>, tensor<4x2048xf32>) -> tensor<8x4xf32>
  func.return %1 : tensor<8x4xf32>
}
