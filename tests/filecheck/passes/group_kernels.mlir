// RUN: ait-opt %s -p group-kernels --remarks --verify-each 2>&1 | filecheck %s

// CHECK: remark: kernel.rowwise (a): with 1 more in one launch: 1.5 us of launches and 0.00602 us of idle units saved, 0 us lost to shared tiles

// Norms of different widths share a launch, with the buffer of the second defined before it; what
// stood between them may then group in turn.
// CHECK-LABEL: @independent
// CHECK-NEXT:    kernel.buffer : memref<4x8xf32>
// CHECK-NEXT:    kernel.buffer : memref<3x5xf32>
// CHECK-NEXT:    kernel.group {
// CHECK-NEXT:      kernel.rowwise ins(%x
// CHECK:           kernel.rowwise ins(%y
// CHECK:         kernel.group {
// CHECK-NEXT:      kernel.copy ins(%{{.*}} : memref<4x8xf32>)
// CHECK-NEXT:      kernel.copy ins(%{{.*}} : memref<3x5xf32>)
// CHECK-NEXT:    }
// CHECK-NEXT:    func.return
func.func @independent(%x: memref<4x8xf32>, %y: memref<3x5xf32>, %z: memref<4x8xf32>, %w: memref<3x5xf32>) {
  %0 = kernel.buffer : memref<4x8xf32>
  kernel.rowwise ins(%x : memref<4x8xf32>) outs(%0 : memref<4x8xf32>) {kind = #kernel.rowwise_kind softmax, reduced = 1 : i64, source = "a"} prologue {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  } epilogue {
  ^bb0(%n: f32, %v: f32, %i: f32):
    kernel.yield %n : f32
  }
  kernel.copy ins(%0 : memref<4x8xf32>) outs(%z : memref<4x8xf32>)
  %1 = kernel.buffer : memref<3x5xf32>
  kernel.rowwise ins(%y : memref<3x5xf32>) outs(%1 : memref<3x5xf32>) {kind = #kernel.rowwise_kind softmax, reduced = 1 : i64, source = "b"} prologue {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  } epilogue {
  ^bb0(%n: f32, %v: f32, %i: f32):
    kernel.yield %n : f32
  }
  kernel.copy ins(%1 : memref<3x5xf32>) outs(%w : memref<3x5xf32>)
  func.return
}

// Columns of one tensor do not meet, also with a dynamic number of rows; a copy is pointwise.
// CHECK-LABEL: @pieces
// CHECK-NEXT:    kernel.group {
// CHECK-NEXT:      kernel.copy ins(%x
// CHECK-NEXT:      kernel.pointwise ins(%y
func.func @pieces(%x: memref<?x3xf32, #sym.dims<[n, 3], n in [0, 9]>>, %y: memref<?x2xf32, #sym.dims<[n, 2], n in [0, 9]>>, %z: memref<?x5xf32, #sym.dims<[n, 5], n in [0, 9]>>) {
  kernel.copy ins(%x : memref<?x3xf32, #sym.dims<[n, 3], n in [0, 9]>>) outs(%z <offset 0, sizes [n, 3], strides [5, 1], n in [0, 9]> : memref<?x5xf32, #sym.dims<[n, 5], n in [0, 9]>>)
  kernel.pointwise ins(%y : memref<?x2xf32, #sym.dims<[n, 2], n in [0, 9]>>) outs(%z <offset 3, sizes [n, 2], strides [5, 1], n in [0, 9]> : memref<?x5xf32, #sym.dims<[n, 5], n in [0, 9]>>) body {
  ^bb0(%v: f32):
    %0 = arith.negf %v : f32
    kernel.yield %0 : f32
  }
  func.return
}

// One of each: a kernel that reads what the first writes, that writes what the first reads, that
// writes what the first writes.
// CHECK-LABEL: @dependent
// CHECK-NOT:     kernel.group
func.func @dependent(%x: memref<4xf32>, %y: memref<4xf32>, %z: memref<4xf32>) {
  kernel.copy ins(%x : memref<4xf32>) outs(%y : memref<4xf32>)
  kernel.copy ins(%y : memref<4xf32>) outs(%z : memref<4xf32>)
  kernel.copy ins(%z : memref<4xf32>) outs(%x : memref<4xf32>)
  kernel.copy ins(%y : memref<4xf32>) outs(%x : memref<4xf32>)
  func.return
}

// The last copy could stand beside the first, but not pass the product between them.
// CHECK-LABEL: @passed
// CHECK-NOT:     kernel.group
func.func @passed(%x: memref<4x4xf32>, %y: memref<4x4xf32>, %z: memref<4x4xf32>) {
  kernel.copy ins(%x : memref<4x4xf32>) outs(%y : memref<4x4xf32>)
  kernel.gemm ins(%z : memref<4x4xf32>, %z : memref<4x4xf32>) outs(%x : memref<4x4xf32>) {groups = array<i64: 0, 1, 1, 1>} epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  kernel.copy ins(%x : memref<4x4xf32>) outs(%z : memref<4x4xf32>)
  func.return
}
