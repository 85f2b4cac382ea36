// RUN: ait-opt %s --split-input-file --verify-diagnostics

// expected-error@+1 {{dim 'n' has no bounds: add ', n in [low, high]'}}
func.func @no_bounds(%a: tensor<?xf32, #sym.dims<[n]>>) {
  func.return
}

// -----

// expected-error@+1 {{dim 'n': bounds are [low, high] with 0 <= low <= high}}
func.func @reversed(%a: tensor<?xf32, #sym.dims<[n], n in [4, 1]>>) {
  func.return
}

// -----

// expected-error@+1 {{dim 'n': bounds are [low, high] with 0 <= low <= high}}
func.func @one_bound(%a: tensor<?xf32, #sym.dims<[n], n in [4]>>) {
  func.return
}

// -----

// expected-error@+1 {{dim 'n' is given two different bounds}}
func.func @two_bounds(%a: tensor<?xf32, #sym.dims<[n], n in [1, 4], n in [1, 5]>>) {
  func.return
}

// -----

// expected-error@+1 {{dim n - 3 is negative}}
func.func @negative(%a: tensor<?xf32, #sym.dims<[n - 3], n in [0, 1]>>) {
  func.return
}

// -----

// expected-error@+1 {{the divisor is 0}}
func.func @by_zero(%a: tensor<?xf32, #sym.dims<[n floordiv 0], n in [0, 1]>>) {
  func.return
}

// -----

// expected-error@+1 {{a dim}}
func.func @unfinished(%a: tensor<?xf32, #sym.dims<[n *], n in [0, 1]>>) {
  func.return
}

// -----

func.func @unnamed(%a: tensor<?xf32>) {
  // expected-error@+1 {{tensor<?xf32> has a dynamic dim without a name: give it #sym.dims}}
  %0 = graph.relu %a : tensor<?xf32>
  func.return
}

// -----

func.func @rank(%a: tensor<?xf32, #sym.dims<[n, 2], n in [0, 1]>>) {
  // expected-error@+1 {{the dims do not fit the shape}}
  %0 = graph.relu %a : tensor<?xf32, #sym.dims<[n, 2], n in [0, 1]>>
  func.return
}
