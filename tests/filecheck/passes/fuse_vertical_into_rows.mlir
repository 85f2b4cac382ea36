// RUN: ait-opt %s -p fuse-vertical | filecheck %s

// Code behind a row operation on a product goes into its epilogue, whose operands the prologue has
// as arguments too.
// CHECK-LABEL: @behind_rows
// CHECK:         kernel.gemm_rowwise ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>, %r : tensor<4x6xf32>)
// CHECK-NEXT:    ^bb0(%s: f32, %{{.*}}: f32):
// CHECK-NEXT:      kernel.yield %s : f32
// CHECK-NEXT:    } epilogue {
// CHECK-NEXT:    ^bb0(%y: f32, %v: f32, %{{.*}}: f32, %[[R:.*]]: f32):
// CHECK-NEXT:      %[[S:.*]] = arith.addf %y, %[[R]] : f32
// CHECK-NEXT:      kernel.yield %[[S]] : f32
// CHECK-NOT:     kernel.pointwise
func.func @behind_rows(%x: tensor<4x8xf32>, %w: tensor<8x6xf32>, %r: tensor<4x6xf32>) -> tensor<4x6xf32> {
  %e = kernel.empty : tensor<4x6xf32>
  %0 = kernel.gemm_rowwise ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>) outs(%e : tensor<4x6xf32>) {groups = array<i64: 0, 1, 1, 1>, kind = #kernel.rowwise_kind softmax} prologue {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  } epilogue {
  ^bb0(%y: f32, %v: f32, %s: f32):
    kernel.yield %y : f32
  }
  %f = kernel.empty : tensor<4x6xf32>
  %1 = kernel.pointwise ins(%0 : tensor<4x6xf32>, %r : tensor<4x6xf32>) outs(%f : tensor<4x6xf32>) body {
  ^bb0(%a: f32, %b: f32):
    %2 = arith.addf %a, %b : f32
    kernel.yield %2 : f32
  }
  func.return %1 : tensor<4x6xf32>
}

// What computes an extra of the middle goes into the middle: it has two operands there, then.
// CHECK-LABEL: @into_the_middle
// CHECK:         kernel.back_to_back_gemm ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>, %u : tensor<6x3xf32>, %p : tensor<4x6xf32>, %q : tensor<4x6xf32>, %r : tensor<4x3xf32>) outs({{.*}}) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 2 : i64} middle {
// CHECK-NEXT:    ^bb0(%[[S:.*]]: f32, %[[P:.*]]: f32, %[[Q:.*]]: f32):
// CHECK-NEXT:      %[[M:.*]] = arith.mulf %[[P]], %[[Q]] : f32
// CHECK-NEXT:      %[[T:.*]] = arith.addf %[[S]], %[[M]] : f32
// CHECK-NEXT:      kernel.yield %[[T]] : f32
// CHECK-NEXT:    } epilogue {
// CHECK-NEXT:    ^bb0(%{{.*}}: f32, %{{.*}}: f32):
// CHECK-NOT:     kernel.pointwise
func.func @into_the_middle(%x: tensor<4x8xf32>, %w: tensor<8x6xf32>, %u: tensor<6x3xf32>, %p: tensor<4x6xf32>, %q: tensor<4x6xf32>, %r: tensor<4x3xf32>) -> tensor<4x3xf32> {
  %e = kernel.empty : tensor<4x6xf32>
  %0 = kernel.pointwise ins(%p : tensor<4x6xf32>, %q : tensor<4x6xf32>) outs(%e : tensor<4x6xf32>) body {
  ^bb0(%a: f32, %b: f32):
    %1 = arith.mulf %a, %b : f32
    kernel.yield %1 : f32
  }
  %f = kernel.empty : tensor<4x3xf32>
  %2 = kernel.back_to_back_gemm ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>, %u : tensor<6x3xf32>, %0 : tensor<4x6xf32>, %r : tensor<4x3xf32>) outs(%f : tensor<4x3xf32>) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 1 : i64} middle {
  ^bb0(%s: f32, %a: f32):
    %3 = arith.addf %s, %a : f32
    kernel.yield %3 : f32
  } epilogue {
  ^bb0(%s: f32, %a: f32):
    %3 = arith.addf %s, %a : f32
    kernel.yield %3 : f32
  }
  func.return %2 : tensor<4x3xf32>
}
