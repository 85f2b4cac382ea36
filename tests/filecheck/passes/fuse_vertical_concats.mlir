// RUN: ait-opt %s -p lower,fuse-vertical --remarks 2>&1 | filecheck %s

// CHECK: kernel.pointwise (scaled): not fused into kernel.gemm (projection): its reader computes it from the result, which is stored anyway
// CHECK: kernel.pointwise (second_piece): fused into kernel.gemm (first_piece)
// CHECK: kernel.pointwise (scaled): computed piece by piece: 2 kernels instead of a concat
// CHECK: kernel.pointwise (pairs): computed piece by piece: 2 kernels instead of a concat
// CHECK: kernel.pointwise (also_returned): not computed piece by piece: the assembled tensor has other users
// CHECK: kernel.pointwise (padded): not computed piece by piece: what is assembled is partly filled
// CHECK: kernel.pointwise (five): not computed piece by piece: it would become more than 4 kernels
// CHECK: kernel.pointwise (misaligned): not computed piece by piece: a piece is not a box of the consumer's domain
// CHECK: kernel.pointwise (backwards): not computed piece by piece: it also reads the assembled tensor through another map
// CHECK: kernel.pointwise (in_place): not computed piece by piece: launches +1, copies -0

// Rotary embedding: each half is computed of both halves of the projection, which nothing copies,
// and which stays the one result of its kernel.
// CHECK-LABEL: @rotary
// CHECK:         %[[X:[a-z0-9_]+]] = kernel.gemm
// CHECK:         %[[A:[a-z0-9_]+]] = kernel.pointwise ins(%[[X]] <offset 0, sizes [8, 16], strides [32, 1]> : tensor<8x32xf32>, %cos <offset 0, sizes [8, 16], strides [0, 1]> : tensor<32xf32>, %[[X]] <offset 16, sizes [8, 16], strides [32, 1]> : tensor<8x32xf32>, %sin <offset 0, sizes [8, 16], strides [0, 1]> : tensor<32xf32>)
// CHECK:           arith.negf
// CHECK:         %[[B:[a-z0-9_]+]] = kernel.pointwise ins(%[[X]] <offset 16, sizes [8, 16], strides [32, 1]> : tensor<8x32xf32>, %cos <offset 16, sizes [8, 16], strides [0, 1]> : tensor<32xf32>, %[[X]] <offset 0, sizes [8, 16], strides [32, 1]> : tensor<8x32xf32>, %sin <offset 16, sizes [8, 16], strides [0, 1]> : tensor<32xf32>)
// CHECK-NOT:       arith.negf
// CHECK:         accessor.assemble %[[A]], %[[B]]
func.func @rotary(%a: tensor<8x16xf32>, %w: tensor<16x32xf32>, %cos: tensor<32xf32>, %sin: tensor<32xf32>) -> tensor<8x32xf32> {
  %x = graph.matmul %a, %w {source = "projection"} : (tensor<8x16xf32>, tensor<16x32xf32>) -> tensor<8x32xf32>
  %0 = graph.mul %x, %cos {source = "scaled"} : (tensor<8x32xf32>, tensor<32xf32>) -> tensor<8x32xf32>
  %low = graph.slice %x {offsets = [0, 0], steps = [1, 1]} : (tensor<8x32xf32>) -> tensor<8x16xf32>
  %high = graph.slice %x {offsets = [0, 16], steps = [1, 1]} : (tensor<8x32xf32>) -> tensor<8x16xf32>
  %1 = graph.neg %high : tensor<8x16xf32>
  %2 = graph.concat %1, %low {axis = 1} : (tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x32xf32>
  %3 = graph.mul %2, %sin : (tensor<8x32xf32>, tensor<32xf32>) -> tensor<8x32xf32>
  %4 = graph.add %0, %3 : tensor<8x32xf32>
  func.return %4 : tensor<8x32xf32>
}

// The residual that the next layer adds is stored beside what that layer reads.
// CHECK-LABEL: @pre_activation
// CHECK:         %[[H:[a-z0-9_]+]], %[[R:[a-z0-9_]+]] = kernel.gemm
// CHECK:         kernel.gemm ins(%[[R]] : {{.*}}, %[[H]] :
// CHECK-NOT:     kernel.pointwise
func.func @pre_activation(%a: tensor<8x16xf32>, %w: tensor<16x16xf32>, %v: tensor<16x16xf32>) -> tensor<8x16xf32> {
  %h = graph.matmul %a, %w : (tensor<8x16xf32>, tensor<16x16xf32>) -> tensor<8x16xf32>
  %0 = graph.relu %h : tensor<8x16xf32>
  %1 = graph.matmul %0, %v : (tensor<8x16xf32>, tensor<16x16xf32>) -> tensor<8x16xf32>
  %2 = graph.add %1, %h : tensor<8x16xf32>
  func.return %2 : tensor<8x16xf32>
}

// One kernel has both pieces, and will write both in place.
// CHECK-LABEL: @two_pieces
// CHECK:         %[[A:[a-z0-9_]+]], %[[B:[a-z0-9_]+]] = kernel.gemm
// CHECK-NOT:     kernel.pointwise
// CHECK:         accessor.assemble %[[A]], %[[B]]
func.func @two_pieces(%a: tensor<8x16xf32>, %w: tensor<16x16xf32>) -> tensor<8x32xf32> {
  %0 = graph.matmul %a, %w {source = "first_piece"} : (tensor<8x16xf32>, tensor<16x16xf32>) -> tensor<8x16xf32>
  %1 = graph.tanh %0 {source = "second_piece"} : tensor<8x16xf32>
  %2 = graph.concat %0, %1 {axis = 1} : (tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x32xf32>
  func.return %2 : tensor<8x32xf32>
}

// Interleaved pieces, in a domain that knows of no pairs: it splits.
// CHECK-LABEL: @interleaved
// CHECK:         kernel.pointwise ins(%x {{.*}}, %a <offset 0, sizes [8, 16], strides [32, 2]>
// CHECK:         kernel.pointwise ins(%y {{.*}}, %a <offset 1, sizes [8, 16], strides [32, 2]>
// CHECK:         accessor.assemble {{.*}}offset 0, sizes [8, 16], strides [32, 2]{{.*}}offset 1, sizes [8, 16], strides [32, 2]
func.func @interleaved(%x: tensor<8x16x1xf32>, %y: tensor<8x16x1xf32>, %a: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %0 = graph.concat %x, %y {axis = 2} : (tensor<8x16x1xf32>, tensor<8x16x1xf32>) -> tensor<8x16x2xf32>
  %1 = graph.reshape %0 : (tensor<8x16x2xf32>) -> tensor<8x32xf32>
  %2 = graph.mul %1, %a {source = "pairs"} : tensor<8x32xf32>
  func.return %2 : tensor<8x32xf32>
}

// Code of the pieces that kernels compute goes into these.
// CHECK-LABEL: @patches
// CHECK:         kernel.pointwise ins(%token
// CHECK:         kernel.gemm
// CHECK:           arith.addf
// CHECK:         accessor.assemble
// CHECK-NOT:     kernel.pointwise
func.func @patches(%token: tensor<1x16xf32>, %a: tensor<8x16xf32>, %w: tensor<16x16xf32>, %p: tensor<9x16xf32>) -> tensor<9x16xf32> {
  %0 = graph.matmul %a, %w : (tensor<8x16xf32>, tensor<16x16xf32>) -> tensor<8x16xf32>
  %1 = graph.concat %token, %0 {axis = 0} : (tensor<1x16xf32>, tensor<8x16xf32>) -> tensor<9x16xf32>
  %2 = graph.add %1, %p : tensor<9x16xf32>
  func.return %2 : tensor<9x16xf32>
}

// CHECK-LABEL: @needed
// CHECK-COUNT-1: kernel.pointwise
// CHECK-NOT:     kernel.pointwise
func.func @needed(%x: tensor<8x16xf32>, %y: tensor<8x16xf32>) -> (tensor<8x32xf32>, tensor<8x32xf32>) {
  %0 = graph.concat %x, %y {axis = 1} : (tensor<8x16xf32>, tensor<8x16xf32>) -> tensor<8x32xf32>
  %1 = graph.tanh %0 {source = "also_returned"} : tensor<8x32xf32>
  func.return %0, %1 : tensor<8x32xf32>, tensor<8x32xf32>
}

// CHECK-LABEL: @padding
// CHECK:         accessor.assemble {{.*}}fill
// CHECK:         kernel.pointwise
func.func @padding(%x: tensor<8x16xf32>) -> tensor<8x20xf32> {
  %0 = graph.pad %x {low = array<i64: 0, 2>, high = array<i64: 0, 2>, value = 1.0 : f64} : (tensor<8x16xf32>) -> tensor<8x20xf32>
  %1 = graph.tanh %0 {source = "padded"} : tensor<8x20xf32>
  func.return %1 : tensor<8x20xf32>
}

// CHECK-LABEL: @many
// CHECK-COUNT-1: kernel.pointwise
// CHECK-NOT:     kernel.pointwise
func.func @many(%x: tensor<3x1xf32>, %y: tensor<3x1xf32>, %z: tensor<3x1xf32>, %u: tensor<3x1xf32>, %v: tensor<3x1xf32>) -> tensor<3x5xf32> {
  %0 = graph.concat %x, %y, %z, %u, %v {axis = 1} : (tensor<3x1xf32>, tensor<3x1xf32>, tensor<3x1xf32>, tensor<3x1xf32>, tensor<3x1xf32>) -> tensor<3x5xf32>
  %1 = graph.tanh %0 {source = "five"} : tensor<3x5xf32>
  func.return %1 : tensor<3x5xf32>
}

// Rows of 4 of pieces of 6 and 10: the second row is of both.
// CHECK-LABEL: @rows
// CHECK-COUNT-1: kernel.pointwise
// CHECK-NOT:     kernel.pointwise
func.func @rows(%x: tensor<6xf32>, %y: tensor<10xf32>, %a: tensor<4x1xf32>) -> tensor<4x4xf32> {
  %0 = graph.concat %x, %y {axis = 0} : (tensor<6xf32>, tensor<10xf32>) -> tensor<16xf32>
  %1 = graph.reshape %0 : (tensor<16xf32>) -> tensor<4x4xf32>
  %2 = graph.mul %1, %a {source = "misaligned"} : (tensor<4x4xf32>, tensor<4x1xf32>) -> tensor<4x4xf32>
  func.return %2 : tensor<4x4xf32>
}

// CHECK-LABEL: @two_maps
// CHECK-COUNT-1: kernel.pointwise
// CHECK-NOT:     kernel.pointwise
func.func @two_maps(%x: tensor<6xf32>, %y: tensor<10xf32>) -> tensor<16xf32> {
  %0 = graph.concat %x, %y {axis = 0} : (tensor<6xf32>, tensor<10xf32>) -> tensor<16xf32>
  %1 = graph.slice %0 {offsets = [15], steps = [-1]} : (tensor<16xf32>) -> tensor<16xf32>
  %2 = graph.mul %0, %1 {source = "backwards"} : tensor<16xf32>
  func.return %2 : tensor<16xf32>
}

// Nothing would be saved: both pieces have other readers, and are written in place.
// CHECK-LABEL: @written
// CHECK-COUNT-2: kernel.gemm
// CHECK-COUNT-1: kernel.pointwise
func.func @written(%x: tensor<4x6xf32>, %y: tensor<4x6xf32>, %w: tensor<6x5xf32>, %v: tensor<5x6xf32>) -> (tensor<4x10xf32>, tensor<4x6xf32>, tensor<4x6xf32>) {
  %0 = graph.matmul %x, %w : (tensor<4x6xf32>, tensor<6x5xf32>) -> tensor<4x5xf32>
  %1 = graph.matmul %y, %w : (tensor<4x6xf32>, tensor<6x5xf32>) -> tensor<4x5xf32>
  %2 = graph.concat %0, %1 {axis = 1} : (tensor<4x5xf32>, tensor<4x5xf32>) -> tensor<4x10xf32>
  %3 = graph.tanh %2 {source = "in_place"} : tensor<4x10xf32>
  %4 = graph.matmul %0, %v : (tensor<4x5xf32>, tensor<5x6xf32>) -> tensor<4x6xf32>
  %5 = graph.matmul %1, %v : (tensor<4x5xf32>, tensor<5x6xf32>) -> tensor<4x6xf32>
  func.return %3, %4, %5 : tensor<4x10xf32>, tensor<4x6xf32>, tensor<4x6xf32>
}
