// RUN: ait-opt %s | ait-opt - | filecheck %s
// RUN: ait-opt %s --print-op-generic | ait-opt - | filecheck %s

// Expressions are printed in one canonical form, with the bounds of their symbols.
// CHECK-LABEL: func.func @arithmetic(
// CHECK-SAME:    %a: tensor<?xf32, #sym.dims<[b + a * 2], a in [0, 4], b in [1, 8]>>
// CHECK-SAME:    %b: tensor<?xf32, #sym.dims<[((b + 1) floordiv (2))], b in [1, 8]>>
func.func @arithmetic(%a: tensor<?xf32, #sym.dims<[b + a + a], a in [0, 4], b in [1, 8]>>, %b: tensor<?xf32, #sym.dims<[(b + 1) floordiv 2], b in [1, 8]>>) {
  func.return
}

// A dim that is known after all is static.
// CHECK-LABEL: func.func @known(
// CHECK-SAME:    %a: tensor<?x4xf32, #sym.dims<[n, 4], n in [1, 8]>>
func.func @known(%a: tensor<?x4xf32, #sym.dims<[n + 2 - 2, 4], n in [1, 8]>>) {
  func.return
}
