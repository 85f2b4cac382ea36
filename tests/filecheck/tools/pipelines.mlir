// RUN: ait-opt %s -p simplify,lower,fuse | filecheck %s
// RUN: ait-opt %s -p simplify | ait-opt -p lower | ait-opt - -p fuse | filecheck %s
// RUN: ait-opt %s -p fuse-vertical,lower --print-ir-after-all -o %t 2>&1 | filecheck %s --check-prefix=DUMP
// RUN: not ait-opt %s -p simplfy 2>&1 | filecheck %s --check-prefix=NEAR
// RUN: not ait-opt %s -p 'lower{x=1}' 2>&1 | filecheck %s --check-prefix=OPTION
// RUN: not ait-opt %s -p fuse-vertical --target abacus 2>&1 | filecheck %s --check-prefix=TARGET

// CHECK-LABEL: func.func @main
// CHECK-NEXT:    kernel.empty
// CHECK-NEXT:    kernel.gemm
// CHECK:           arith.maximumf
// CHECK:         func.return
func.func @main(%x: tensor<8x16xf32>, %w: tensor<32x16xf32>) -> tensor<8x32xf32> {
  %0 = graph.linear %x, %w : (tensor<8x16xf32>, tensor<32x16xf32>) -> tensor<8x32xf32>
  %1 = graph.relu %0 : tensor<8x32xf32>
  func.return %1 : tensor<8x32xf32>
}

// DUMP: // -----// IR Dump After fuse-vertical //----- //
// DUMP: // -----// IR Dump After lower-movement //----- //
// DUMP: // -----// IR Dump After lower-graph //----- //

// NEAR:   there is no pass or pipeline 'simplfy'; did you mean simplify
// OPTION: pipeline 'lower' takes no options
// TARGET: error: unknown target 'abacus'
