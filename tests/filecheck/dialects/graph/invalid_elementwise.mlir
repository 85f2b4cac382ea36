// RUN: ait-opt %s --split-input-file --verify-diagnostics

func.func @neg_i1(%x: tensor<4xi1>) {
  // expected-error@+1 {{x has elements i1, not a number type (f32, f16, bf16, f8E4M3FN, i64, i32, i8)}}
  %r = graph.neg %x : tensor<4xi1>
  func.return
}

// -----

func.func @exp_int(%x: tensor<4xi32>) {
  // expected-error@+1 {{x has elements i32, not a float type (f32, f16, bf16, f8E4M3FN)}}
  %r = graph.exp %x : tensor<4xi32>
  func.return
}

// -----

func.func @unsupported(%x: tensor<4xf64>) {
  // expected-error@+1 {{x has elements f64, not a number type (f32, f16, bf16, f8E4M3FN, i64, i32, i8)}}
  %r = graph.abs %x : tensor<4xf64>
  func.return
}

// -----

func.func @result(%x: tensor<4xf32>) {
  // expected-error@+1 {{the result is tensor<5xf32>, but operands and properties give tensor<4xf32>}}
  %r = graph.tanh %x : (tensor<4xf32>) -> tensor<5xf32>
  func.return
}

// -----

func.func @logical_not(%x: tensor<4xf32>) {
  // expected-error@+1 {{x has elements f32, not i1}}
  %r = graph.logical_not %x : tensor<4xf32>
  func.return
}

// -----

func.func @unnamed(%x: tensor<?xf32>) {
  // expected-error@+1 {{tensor<?xf32> has a dynamic dim without a name: give it #sym.dims}}
  %r = graph.relu %x : tensor<?xf32>
  func.return
}

// -----

func.func @gelu(%x: tensor<4xf32>) {
  // expected-error@+1 {{expected one of "none", "tanh", got "erf"}}
  %r = graph.gelu %x {approximate = "erf"} : tensor<4xf32>
  func.return
}

// -----

func.func @gelu_missing(%x: tensor<4xf32>) {
  // expected-error@+1 {{property 'approximate' expected}}
  %r = graph.gelu %x : tensor<4xf32>
  func.return
}

// -----

func.func @leaky_relu(%x: tensor<4xf32>) {
  // expected-error@+1 {{expected an f64 number, got "0.1"}}
  %r = graph.leaky_relu %x {negative_slope = "0.1"} : tensor<4xf32>
  func.return
}

// -----

func.func @clamp(%x: tensor<4xi32>) {
  // expected-error@+1 {{min = 0.5 does not fit elements i32}}
  %r = graph.clamp %x {min = 0.5} : tensor<4xi32>
  func.return
}

// -----

func.func @clamp_float(%x: tensor<4xf32>) {
  // expected-error@+1 {{max = 6 does not fit elements f32}}
  %r = graph.clamp %x {max = 6} : tensor<4xf32>
  func.return
}

// -----

func.func @cast(%x: tensor<4xf32>) {
  // expected-error@+1 {{result has elements f64, not one of f32, f16, bf16, f8E4M3FN, i64, i32, i8, i1}}
  %r = graph.cast %x : (tensor<4xf32>) -> tensor<4xf64>
  func.return
}

// -----

func.func @cast_shape(%x: tensor<4xf32>) {
  // expected-error@+1 {{the result is tensor<5xf16>, but operands and properties give tensor<4xf16>}}
  %r = graph.cast %x : (tensor<4xf32>) -> tensor<5xf16>
  func.return
}

// -----

func.func @add(%x: tensor<2x4xf32>, %y: tensor<3xf32>) {
  // expected-error@+1 {{lhs [2, 4] and rhs [3] do not broadcast: 4 against 3 in dim -1}}
  %r = graph.add %x, %y : (tensor<2x4xf32>, tensor<3xf32>) -> tensor<2x4xf32>
  func.return
}

// -----

func.func @add_symbols(%x: tensor<?x4xf32, #sym.dims<[a, 4], a in [1, 8]>>, %y: tensor<?x4xf32, #sym.dims<[b + 1, 4], b in [1, 8]>>) {
  // expected-error@+1 {{lhs [a, 4] and rhs [b + 1, 4] do not broadcast: a against b + 1 in dim -2}}
  %r = graph.add %x, %y : (tensor<?x4xf32, #sym.dims<[a, 4], a in [1, 8]>>, tensor<?x4xf32, #sym.dims<[b + 1, 4], b in [1, 8]>>) -> tensor<?x4xf32, #sym.dims<[a, 4], a in [1, 8]>>
  func.return
}

// -----

func.func @add_bounds(%x: tensor<?x4xf32, #sym.dims<[a, 4], a in [1, 8]>>, %y: tensor<?x4xf32, #sym.dims<[a, 4], a in [1, 4]>>) {
  // expected-error@+1 {{a (a in [1, 8]) against a (a in [1, 4]) in dim -2}}
  %r = graph.add %x, %y : (tensor<?x4xf32, #sym.dims<[a, 4], a in [1, 8]>>, tensor<?x4xf32, #sym.dims<[a, 4], a in [1, 4]>>) -> tensor<?x4xf32, #sym.dims<[a, 4], a in [1, 8]>>
  func.return
}

// -----

func.func @add_static(%x: tensor<?x4xf32, #sym.dims<[a, 4], a in [1, 8]>>, %y: tensor<8x4xf32>) {
  // expected-error@+1 {{lhs [a, 4] and rhs [8, 4] do not broadcast: a against 8 in dim -2}}
  %r = graph.add %x, %y : (tensor<?x4xf32, #sym.dims<[a, 4], a in [1, 8]>>, tensor<8x4xf32>) -> tensor<?x4xf32, #sym.dims<[a, 4], a in [1, 8]>>
  func.return
}

// -----

func.func @mul_elements(%x: tensor<4xf32>, %y: tensor<4xf16>) {
  // expected-error@+1 {{lhs has elements f32 but rhs f16: cast one of them}}
  %r = graph.mul %x, %y : (tensor<4xf32>, tensor<4xf16>) -> tensor<4xf32>
  func.return
}

// -----

func.func @div(%x: tensor<4xi32>) {
  // expected-error@+1 {{lhs has elements i32, not a float type (f32, f16, bf16, f8E4M3FN)}}
  %r = graph.div %x, %x : tensor<4xi32>
  func.return
}

// -----

func.func @maximum(%x: tensor<4xi1>) {
  // expected-error@+1 {{lhs has elements i1, not a number type}}
  %r = graph.maximum %x, %x : tensor<4xi1>
  func.return
}

// -----

func.func @logical_and(%x: tensor<4xi32>) {
  // expected-error@+1 {{lhs has elements i32, not i1}}
  %r = graph.logical_and %x, %x : tensor<4xi32>
  func.return
}

// -----

func.func @less(%x: tensor<4xf32>) {
  // expected-error@+1 {{the result is tensor<4xf32>, but operands and properties give tensor<4xi1>}}
  %r = graph.less %x, %x : tensor<4xf32>
  func.return
}

// -----

func.func @greater_i1(%x: tensor<4xi1>) {
  // expected-error@+1 {{lhs has elements i1, not a number type}}
  %r = graph.greater %x, %x : tensor<4xi1>
  func.return
}

// -----

func.func @select(%c: tensor<4xf32>, %x: tensor<4xf32>) {
  // expected-error@+1 {{condition has elements f32, not i1}}
  %r = graph.select %c, %x, %x : tensor<4xf32>
  func.return
}

// -----

func.func @select_elements(%c: tensor<4xi1>, %x: tensor<4xf32>, %y: tensor<4xi32>) {
  // expected-error@+1 {{a has elements f32 but b i32: cast one of them}}
  %r = graph.select %c, %x, %y : (tensor<4xi1>, tensor<4xf32>, tensor<4xi32>) -> tensor<4xf32>
  func.return
}

// -----

func.func @select_shapes(%c: tensor<3xi1>, %x: tensor<4xf32>) {
  // expected-error@+1 {{condition [3] and a [4] and b [4] do not broadcast: 3 against 4 in dim -1}}
  %r = graph.select %c, %x, %x : (tensor<3xi1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return
}

// -----

func.func @operands(%x: tensor<4xf32>) {
  // expected-error@+1 {{Expected 2 operands, but got 1}}
  %r = graph.add %x : tensor<4xf32>
  func.return
}

// -----

func.func @unknown_property(%x: tensor<4xf32>) {
  // expected-error@+1 {{property 'axis' is not defined}}
  %r = "graph.relu"(%x) <{axis = 1 : i64}> : (tensor<4xf32>) -> tensor<4xf32>
  func.return
}
