// RUN: ait-opt %s -p canonicalize,cse | filecheck %s
// RUN: ait-opt %s -p "canonicalize,cse" --print-ir-after-all -o %t 2>&1 | filecheck %s --check-prefix=AFTER
// RUN: ait-opt %s -p "canonicalize,cse" --print-ir-before=cse -o %t 2>&1 | filecheck %s --check-prefix=BEFORE
// RUN: ait-opt %s -p cse --time-passes -o %t 2>&1 | filecheck %s --check-prefix=TIME
// RUN: ait-opt %s --print-op-generic | ait-opt - -p cse | filecheck %s
// RUN: not ait-opt %s -p cs 2>&1 | filecheck %s --check-prefix=UNKNOWN
// RUN: not ait-opt %s -p 'cse{speed=3}' 2>&1 | filecheck %s --check-prefix=OPTION

// CHECK:      func.func @twice
// CHECK-NEXT:   [[S:%.*]] = arith.addf %x, %x : f32
// CHECK-NEXT:   func.return [[S]], [[S]]
func.func @twice(%x: f32) -> (f32, f32) {
  %a = arith.addf %x, %x : f32
  %b = arith.addf %x, %x : f32
  func.return %a, %b : f32, f32
}

// AFTER:      // -----// IR Dump After canonicalize //----- //
// AFTER:      arith.addf
// AFTER-NEXT: arith.addf
// AFTER:      // -----// IR Dump After cse //----- //
// AFTER:      arith.addf
// AFTER-NEXT: func.return

// BEFORE-NOT: IR Dump After
// BEFORE:     // -----// IR Dump Before cse //----- //
// BEFORE:     arith.addf

// TIME: ms share pass
// TIME: {{[0-9.]+ +[0-9.]+}}% cse
// TIME: 100.0% (total)

// UNKNOWN: ait-opt: error: there is no pass or pipeline 'cs'; did you mean cse
// OPTION:  ait-opt: error: pass 'cse' has no option 'speed'
