// RUN: ait-opt %s --split-input-file --verify-diagnostics

func.func @constant() {
  // expected-error@+1 {{value has elements f64, not one of f32, f16, bf16, f8E4M3FN, i64, i32, i8, i1}}
  %r = graph.constant dense<1.0> : tensor<4xf64>
  func.return
}

// -----

func.func @constant_vector() {
  // expected-error@+1 {{should be of base attribute tensor}}
  %r = graph.constant dense<1.0> : vector<4xf32>
  func.return
}

// -----

func.func @iota_axis() {
  // expected-error@+1 {{axis = 1 is outside [0, 1)}}
  %r = graph.iota {axis = 1} : tensor<4xi64>
  func.return
}

// -----

func.func @iota_element() {
  // expected-error@+1 {{element must be i64, i32 or f32, not i8}}
  %r = graph.iota {axis = 0} : tensor<4xi8>
  func.return
}

// -----

func.func @get_parameter() {
  // expected-error@+1 {{the module has no parameter @absent}}
  %r = graph.get_parameter @absent : tensor<4xf32>
  func.return
}

// -----

// expected-error@+1 {{parameter @w has a dynamic shape}}
graph.parameter @w : tensor<?xf32, #sym.dims<[s], s in [1, 8]>>

// -----

// expected-error@+1 {{parameter @w has elements of an unsupported type: tensor<4xi4>}}
graph.parameter @w : tensor<4xi4>

// -----

graph.parameter @w : tensor<4xf32>

func.func @type_of_parameter() {
  // expected-error@+1 {{the result is tensor<4xf16>, but parameter @w is tensor<4xf32>}}
  %w = graph.get_parameter @w : tensor<4xf16>
  func.return
}

// -----

// expected-error@+1 {{parameter @w is tensor<3xi64>, but its value is tensor<2xi64>}}
"graph.parameter"() <{sym_name = "w", parameter_type = tensor<3xi64>, value = dense<[1, 2]> : tensor<2xi64>}> : () -> ()
