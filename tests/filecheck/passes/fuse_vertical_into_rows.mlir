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

// A sum that a norm begins with, and that others read too, is computed and stored by the norm; what
// reads it follows.
// CHECK-LABEL: @stored_beside
// CHECK:         %[[N:.*]], %[[S:.*]] = kernel.rowwise ins(%a : tensor<4x8xf32>, %b : tensor<4x8xf32>) outs(%f : tensor<4x8xf32>, %e : tensor<4x8xf32>)
// CHECK-NEXT:    ^bb0(%[[A:.*]]: f32, %[[B:.*]]: f32):
// CHECK-NEXT:      %[[V:.*]] = arith.addf %[[A]], %[[B]] : f32
// CHECK-NEXT:      kernel.yield %[[V]] : f32
// CHECK-NEXT:    } epilogue {
// CHECK-NEXT:    ^bb0(%[[Y:.*]]: f32, %[[W:.*]]: f32, %{{.*}}: f32, %{{.*}}: f32):
// CHECK-NEXT:      kernel.yield %[[Y]], %[[W]] : f32, f32
// CHECK-NEXT:    }
// CHECK-NEXT:    %[[R:.*]] = kernel.reduce ins(%[[S]] : tensor<4x8xf32>)
// CHECK:         func.return %[[N]], %[[S]], %[[R]]
func.func @stored_beside(%a: tensor<4x8xf32>, %b: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>, tensor<f32>) {
  %e = kernel.empty : tensor<4x8xf32>
  %s = kernel.pointwise ins(%a : tensor<4x8xf32>, %b : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) body {
  ^bb0(%p: f32, %q: f32):
    %0 = arith.addf %p, %q : f32
    kernel.yield %0 : f32
  }
  %t = kernel.empty : tensor<f32>
  %r = kernel.reduce ins(%s : tensor<4x8xf32>) outs(%t : tensor<f32>) {extras = 0 : i64, kind = #kernel.reduce_kind sum, reduced = 2 : i64} prologue {
  ^bb0(%p: f32):
    kernel.yield %p : f32
  } epilogue {
  ^bb0(%p: f32):
    kernel.yield %p : f32
  }
  %f = kernel.empty : tensor<4x8xf32>
  %n = kernel.rowwise ins(%s : tensor<4x8xf32>) outs(%f : tensor<4x8xf32>) {kind = #kernel.rowwise_kind softmax, reduced = 1 : i64} prologue {
  ^bb0(%p: f32):
    kernel.yield %p : f32
  } epilogue {
  ^bb0(%y: f32, %v: f32, %p: f32):
    kernel.yield %y : f32
  }
  func.return %n, %s, %r : tensor<4x8xf32>, tensor<4x8xf32>, tensor<f32>
}

// What the norm needs cannot follow it; and where its own code makes the values of its rows, the sum is
// none of them.
// CHECK-LABEL: @stays_before
// CHECK:         %[[S:.*]] = kernel.pointwise
// CHECK:         kernel.reduce ins(%[[S]]
// CHECK:         kernel.rowwise ins(%[[S]]
// CHECK:         kernel.rowwise ins(%[[S]]
func.func @stays_before(%a: tensor<4x8xf32>, %b: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %e = kernel.empty : tensor<4x8xf32>
  %s = kernel.pointwise ins(%a : tensor<4x8xf32>, %b : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) body {
  ^bb0(%p: f32, %q: f32):
    %0 = arith.addf %p, %q : f32
    kernel.yield %0 : f32
  }
  %t = kernel.empty : tensor<8xf32>
  %r = kernel.reduce ins(%s <offset 0, sizes [8, 4], strides [1, 8]> : tensor<4x8xf32>) outs(%t : tensor<8xf32>) {extras = 0 : i64, kind = #kernel.reduce_kind sum, reduced = 1 : i64} prologue {
  ^bb0(%p: f32):
    kernel.yield %p : f32
  } epilogue {
  ^bb0(%p: f32):
    kernel.yield %p : f32
  }
  %f = kernel.empty : tensor<4x8xf32>
  %n = kernel.rowwise ins(%s : tensor<4x8xf32>, %r <offset 0, sizes [4, 8], strides [0, 1]> : tensor<8xf32>) outs(%f : tensor<4x8xf32>) {kind = #kernel.rowwise_kind softmax, reduced = 1 : i64} prologue {
  ^bb0(%p: f32, %q: f32):
    kernel.yield %p : f32
  } epilogue {
  ^bb0(%y: f32, %v: f32, %p: f32, %q: f32):
    %0 = arith.mulf %y, %q : f32
    kernel.yield %0 : f32
  }
  %g = kernel.empty : tensor<4x8xf32>
  %m = kernel.rowwise ins(%s : tensor<4x8xf32>) outs(%g : tensor<4x8xf32>) {kind = #kernel.rowwise_kind softmax, reduced = 1 : i64} prologue {
  ^bb0(%p: f32):
    %0 = arith.mulf %p, %p : f32
    kernel.yield %0 : f32
  } epilogue {
  ^bb0(%y: f32, %v: f32, %p: f32):
    kernel.yield %y : f32
  }
  func.return %n, %m : tensor<4x8xf32>, tensor<4x8xf32>
}
