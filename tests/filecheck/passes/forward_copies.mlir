// RUN: ait-opt %s -p forward-copies --remarks --verify-each 2>&1 | filecheck %s

// CHECK: remark: kernel.pointwise (both): writes its result where it would be copied to
// CHECK: remark: kernel.copy (read_again): stays a copy: it is used more than once
// CHECK: remark: kernel.copy (part): stays a copy: only a part of it is copied
// CHECK: remark: kernel.copy (too_early): stays a copy: kernel.copy (reads_place) reads or writes the place before
// CHECK: remark: kernel.copy (own_operand): stays a copy: kernel.pointwise (reads_itself) reads or writes the place before
// CHECK: remark: kernel.back_to_back_gemm: writes its result where it would be copied to
// CHECK: remark: kernel.copy (split_columns): stays a copy: its place cannot be addressed over the kernel's domain
// CHECK-NOT: remark:

// A kernel of two results writes both halves of one tensor, whose buffer is defined after it.
// CHECK-LABEL: @two_results
// CHECK-NEXT:    %[[Z:.*]] = kernel.buffer : memref<4x6xf32>
// CHECK-NEXT:    kernel.pointwise ins(%x : memref<4x3xf32>) outs(%[[Z]] <offset 0, sizes [4, 3], strides [6, 1]> : memref<4x6xf32>, %[[Z]] <offset 3, sizes [4, 3], strides [6, 1]> : memref<4x6xf32>)
// CHECK-NOT:     kernel.buffer
// CHECK:         kernel.copy ins(%[[Z]] : memref<4x6xf32>) outs(%y : memref<4x6xf32>) {source = "read_again"}
func.func @two_results(%x: memref<4x3xf32>, %y: memref<4x6xf32>, %u: memref<4x6xf32>) {
  %a = kernel.buffer : memref<4x3xf32>
  %b = kernel.buffer : memref<4x3xf32>
  kernel.pointwise ins(%x : memref<4x3xf32>) outs(%a : memref<4x3xf32>, %b : memref<4x3xf32>) {source = "both"} body {
  ^bb0(%v: f32):
    %0 = arith.negf %v : f32
    kernel.yield %v, %0 : f32, f32
  }
  %z = kernel.buffer : memref<4x6xf32>
  kernel.copy ins(%a : memref<4x3xf32>) outs(%z <offset 0, sizes [4, 3], strides [6, 1]> : memref<4x6xf32>)
  kernel.copy ins(%b : memref<4x3xf32>) outs(%z <offset 3, sizes [4, 3], strides [6, 1]> : memref<4x6xf32>)
  kernel.copy ins(%z : memref<4x6xf32>) outs(%y : memref<4x6xf32>) {source = "read_again"}
  kernel.copy ins(%z : memref<4x6xf32>) outs(%u : memref<4x6xf32>)
  func.return
}

// Of these, each is a copy that must stay.
// CHECK-LABEL: @kept
// CHECK-COUNT-5: kernel.copy
func.func @kept(%x: memref<4xf32>, %y: memref<4xf32>, %z: memref<2xf32>) {
  %a = kernel.buffer : memref<4xf32>
  kernel.pointwise ins(%x : memref<4xf32>) outs(%a : memref<4xf32>) body {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  }
  kernel.copy ins(%a <offset 1, sizes [2], strides [1]> : memref<4xf32>) outs(%z : memref<2xf32>) {source = "part"}
  %b = kernel.buffer : memref<4xf32>
  %c = kernel.buffer : memref<4xf32>
  kernel.pointwise ins(%x : memref<4xf32>) outs(%b : memref<4xf32>) body {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  }
  kernel.copy ins(%y : memref<4xf32>) outs(%x : memref<4xf32>) {source = "reads_place"}
  kernel.copy ins(%b : memref<4xf32>) outs(%y : memref<4xf32>) {source = "too_early"}
  kernel.pointwise ins(%y <offset 3, sizes [4], strides [-1]> : memref<4xf32>) outs(%c : memref<4xf32>) {source = "reads_itself"} body {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  }
  kernel.copy ins(%c : memref<4xf32>) outs(%y : memref<4xf32>) {source = "own_operand"}
  kernel.copy ins(%x : memref<4xf32>) outs(%y : memref<4xf32>) {source = "of_input"}
  func.return
}

// The middle of two products that is kept has columns of its own: where it is stored in splits rows, but
// not the columns of the other result.
// CHECK-LABEL: @kept_middle
// CHECK:         kernel.back_to_back_gemm ins(%x <offset 0, sizes [2, 2, 8], strides [16, 8, 1]> : memref<4x8xf32>, %w : memref<8x6xf32>, %v : memref<6x3xf32>)
// CHECK-SAME:    outs(%o <offset 0, sizes [2, 2, 3], strides [6, 3, 1]> : memref<4x3xf32>, %d <offset 0, sizes [2, 2, 6], strides [30, 6, 1]> : memref<2x30xf32>)
// CHECK-SAME:    groups = array<i64: 0, 2, 1, 1, 1>
func.func @kept_middle(%x: memref<4x8xf32>, %w: memref<8x6xf32>, %v: memref<6x3xf32>, %o: memref<4x3xf32>, %d: memref<2x30xf32>) {
  %m = kernel.buffer : memref<4x6xf32>
  kernel.back_to_back_gemm ins(%x : memref<4x8xf32>, %w : memref<8x6xf32>, %v : memref<6x3xf32>) outs(%o : memref<4x3xf32>, %m : memref<4x6xf32>) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 0 : i64, keeps_middle} middle {
  ^bb0(%first: f32):
    kernel.yield %first : f32
  } epilogue {
  ^bb0(%second: f32):
    kernel.yield %second : f32
  }
  kernel.copy ins(%m <offset 0, sizes [2, 2, 2, 3], strides [12, 6, 3, 1]> : memref<4x6xf32>) outs(%d <offset 0, sizes [2, 2, 2, 3], strides [30, 6, 3, 1]> : memref<2x30xf32>)
  func.return
}

// CHECK-LABEL: @kept_columns
// CHECK:         kernel.back_to_back_gemm
// CHECK-SAME:    %[[M:[^ ]*]] <offset 0, sizes [4, 2, 6], strides [12, 6, 1]>
// CHECK:         kernel.copy ins(%[[M]]
func.func @kept_columns(%x: memref<4x8xf32>, %w: memref<8x12xf32>, %v: memref<12x3xf32>, %o: memref<4x3xf32>, %d: memref<2x48xf32>) {
  %m = kernel.buffer : memref<4x12xf32>
  kernel.back_to_back_gemm ins(%x : memref<4x8xf32>, %w <offset 0, sizes [8, 2, 6], strides [12, 6, 1]> : memref<8x12xf32>, %v <offset 0, sizes [2, 6, 3], strides [18, 3, 1]> : memref<12x3xf32>) outs(%o : memref<4x3xf32>, %m <offset 0, sizes [4, 2, 6], strides [12, 6, 1]> : memref<4x12xf32>) {groups = array<i64: 0, 1, 1, 1, 2>, middle_extras = 0 : i64, keeps_middle, source = "columns"} middle {
  ^bb0(%first: f32):
    kernel.yield %first : f32
  } epilogue {
  ^bb0(%second: f32):
    kernel.yield %second : f32
  }
  kernel.copy ins(%m <offset 0, sizes [2, 8, 3], strides [3, 6, 1]> : memref<4x12xf32>) outs(%d <offset 0, sizes [2, 8, 3], strides [48, 3, 1]> : memref<2x48xf32>) {source = "split_columns"}
  func.return
}
