// RUN: ait-opt %s -p lower,fuse-vertical --remarks 2>&1 | filecheck %s

// CHECK: remark: kernel.gemm (up): kernel.gemm (gate) and kernel.gemm (up) are one dual gemm
// CHECK: remark: kernel.pointwise (glu): the halves of kernel.gemm (both) are one dual gemm
// CHECK: remark: kernel.gemm (wide): not one kernel with kernel.gemm (narrow), which it reads: they range over different dims

// A linear times its gate: the gate's activation is code of the one epilogue.
// CHECK-LABEL: @gate
// CHECK:         kernel.dual_gemm ins(%x : tensor<8x16xf32>, %g <offset 0, sizes [16, 32], strides [1, 16]> : tensor<32x16xf32>, %u <offset 0, sizes [16, 32], strides [1, 16]> : tensor<32x16xf32>) outs({{.*}}) {groups = array<i64: 0, 1, 1, 1>, source = "up"} epilogue {
// CHECK-NEXT:    ^bb0(%[[GATE:.*]]: f32, %[[UP:.*]]: f32):
// CHECK:           arith.negf %[[GATE]]
// CHECK:           arith.mulf %{{.*}}, %[[UP]]
// CHECK-NOT:     kernel.gemm
func.func @gate(%x: tensor<8x16xf32>, %g: tensor<32x16xf32>, %u: tensor<32x16xf32>) -> tensor<8x32xf32> {
  %0 = graph.linear %x, %g {source = "gate"} : (tensor<8x16xf32>, tensor<32x16xf32>) -> tensor<8x32xf32>
  %1 = graph.silu %0 : tensor<8x32xf32>
  %2 = graph.linear %x, %u {source = "up"} : (tensor<8x16xf32>, tensor<32x16xf32>) -> tensor<8x32xf32>
  %3 = graph.mul %1, %2 : tensor<8x32xf32>
  func.return %3 : tensor<8x32xf32>
}

// The halves of one linear's columns: views of its weight and of its bias.
// CHECK-LABEL: @halves
// CHECK:         kernel.dual_gemm
// CHECK-SAME:      %w <offset 0, sizes [16, 32], strides [1, 16]>
// CHECK-SAME:      %w <offset 512, sizes [16, 32], strides [1, 16]>
// CHECK-SAME:      %b <offset 0, sizes [8, 32], strides [0, 1]>
// CHECK-SAME:      %b <offset 32, sizes [8, 32], strides [0, 1]>
// CHECK-NOT:     kernel.pointwise
func.func @halves(%x: tensor<8x16xf32>, %w: tensor<64x16xf32>, %b: tensor<64xf32>) -> tensor<8x32xf32> {
  %0 = graph.linear %x, %w, %b {source = "both"} : (tensor<8x16xf32>, tensor<64x16xf32>, tensor<64xf32>) -> tensor<8x64xf32>
  %1, %2 = graph.split %0 {axis = 1, sizes = array<i64: 32, 32>} : (tensor<8x64xf32>) -> (tensor<8x32xf32>, tensor<8x32xf32>)
  %3 = graph.sigmoid %2 {source = "glu"} : tensor<8x32xf32>
  %4 = graph.mul %1, %3 {source = "glu"} : tensor<8x32xf32>
  func.return %4 : tensor<8x32xf32>
}

// The gate is one column for all of the other's.
// CHECK-LABEL: @one_column
// CHECK-COUNT-2: kernel.gemm
func.func @one_column(%x: tensor<8x16xf32>, %g: tensor<1x16xf32>, %u: tensor<32x16xf32>) -> tensor<8x32xf32> {
  %0 = graph.linear %x, %g {source = "narrow"} : (tensor<8x16xf32>, tensor<1x16xf32>) -> tensor<8x1xf32>
  %1 = graph.linear %x, %u {source = "wide"} : (tensor<8x16xf32>, tensor<32x16xf32>) -> tensor<8x32xf32>
  %2 = graph.mul %0, %1 : (tensor<8x1xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  func.return %2 : tensor<8x32xf32>
}
