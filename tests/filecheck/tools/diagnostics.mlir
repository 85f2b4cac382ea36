// RUN: ait-opt %s --split-input-file --verify-diagnostics -p canonicalize | filecheck %s

// The pieces that are right are printed.
// CHECK: func.func @fine
func.func @fine(%x: f32) -> f32 {
  func.return %x : f32
}

// -----

func.func @undefined(%x: f32) -> f32 {
  // expected-error@+1 {{operand is used with type f64}}
  func.return %x : f64
}

// -----

func.func @dominance(%x: f32) -> f32 {
  %1 = arith.addf %0, %x : f32 // expected-error {{operand #0 does not dominate this use}}
  %0 = arith.addf %x, %x : f32
  func.return %1 : f32
}

// -----

// Every operation that does not verify is reported, in one go.
func.func @twice(%x: f32) -> f32 {
  "func.return"(%x, %x) : (f32, f32) -> ()
  // expected-error@above {{Expected arguments to have the same types}}
}
func.func @again(%x: f32) -> f32 {
  // expected-error-re@below {{Expected {{[a-z]+}} to have}}
  "func.return"() : () -> ()
}

// -----

// expected-error@+2 {{is not registered}}
func.func @unknown(%x: f32) {
  unknown.op %x : f32
}
