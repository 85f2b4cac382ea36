// RUN: ait-opt %s --split-input-file --verify-diagnostics

func.func @reduce_sum_axis(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{an axis = 2 is outside [0, 2)}}
  %r = graph.reduce_sum %x {axes = [2]} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  func.return
}

// -----

func.func @reduce_max_order(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{axes = [1, 0] must be distinct and ascending}}
  %r = graph.reduce_max %x {axes = [1, 0]} : (tensor<2x4xf32>) -> tensor<f32>
  func.return
}

// -----

func.func @reduce_min_twice(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{axes = [1, 1] must be distinct and ascending}}
  %r = graph.reduce_min %x {axes = [1, 1]} : (tensor<2x4xf32>) -> tensor<2xf32>
  func.return
}

// -----

func.func @reduce_mean(%x: tensor<2x4xi32>) {
  // expected-error@+1 {{x has elements i32, not a float type}}
  %r = graph.reduce_mean %x {axes = [1]} : (tensor<2x4xi32>) -> tensor<2xi32>
  func.return
}

// -----

func.func @reduce_prod(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{the result is tensor<2xf32>, but operands and properties give tensor<2x1xf32>}}
  %r = graph.reduce_prod %x {axes = [1], keepdims} : (tensor<2x4xf32>) -> tensor<2xf32>
  func.return
}

// -----

func.func @argmax(%x: tensor<2x0xf32>) {
  // expected-error@+1 {{dim 1 of x [2, 0] must have at least one element}}
  %r = graph.argmax %x {axis = 1} : (tensor<2x0xf32>) -> tensor<2xi64>
  func.return
}

// -----

func.func @argmax_result(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{the result is tensor<2xi32>, but operands and properties give tensor<2xi64>}}
  %r = graph.argmax %x {axis = 1} : (tensor<2x4xf32>) -> tensor<2xi32>
  func.return
}
