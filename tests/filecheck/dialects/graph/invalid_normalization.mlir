// RUN: ait-opt %s --split-input-file --verify-diagnostics

func.func @softmax(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{axis = 2 is outside [0, 2)}}
  %r = graph.softmax %x {axis = 2} : tensor<2x4xf32>
  func.return
}

// -----

func.func @softmax_negative(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{axis = -1 is outside [0, 2)}}
  %r = graph.softmax %x {axis = -1} : tensor<2x4xf32>
  func.return
}

// -----

func.func @log_softmax(%x: tensor<2x4xi64>) {
  // expected-error@+1 {{x has elements i64, not a float type}}
  %r = graph.log_softmax %x {axis = 1} : tensor<2x4xi64>
  func.return
}

// -----

func.func @layer_norm_rank(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{axes_rank = 3 is outside [1, 2], the rank of x [2, 4]}}
  %r = graph.layer_norm %x {eps = 1.0e-5, axes_rank = 3} : tensor<2x4xf32>
  func.return
}

// -----

func.func @layer_norm_weight(%x: tensor<2x4xf32>, %w: tensor<2xf32>) {
  // expected-error@+1 {{weight [2] must be [4]: the dims of x [2, 4] that it scales}}
  %r = graph.layer_norm %x, %w {eps = 1.0e-5, axes_rank = 1} : (tensor<2x4xf32>, tensor<2xf32>) -> tensor<2x4xf32>
  func.return
}

// -----

func.func @layer_norm_elements(%x: tensor<2x4xf16>, %w: tensor<4xf32>) {
  // expected-error@+1 {{x has elements f16 but weight f32: cast one of them}}
  %r = graph.layer_norm %x, %w {eps = 1.0e-5, axes_rank = 1} : (tensor<2x4xf16>, tensor<4xf32>) -> tensor<2x4xf16>
  func.return
}

// -----

func.func @layer_norm_operands(%x: tensor<4xf32>) {
  // expected-error@+1 {{takes x, weight, bias: 4 operands are too many}}
  %r = graph.layer_norm %x, %x, %x, %x {eps = 1.0e-5, axes_rank = 1} : tensor<4xf32>
  func.return
}

// -----

func.func @rms_norm(%x: tensor<4xf32>) {
  // expected-error@+1 {{takes x, weight: 3 operands are too many}}
  %r = graph.rms_norm %x, %x, %x {eps = 1.0e-5, axes_rank = 1} : tensor<4xf32>
  func.return
}

// -----

func.func @group_norm(%x: tensor<2x6x4xf32>) {
  // expected-error@+1 {{num_groups = 4 does not divide 6 channels: x [2, 6, 4]}}
  %r = graph.group_norm %x {eps = 1.0e-5, num_groups = 4, layout = "nchw"} : tensor<2x6x4xf32>
  func.return
}

// -----

func.func @group_norm_rank(%x: tensor<6xf32>) {
  // expected-error@+1 {{x [6] must have rank 2 or more}}
  %r = graph.group_norm %x {eps = 1.0e-5, num_groups = 2, layout = "nchw"} : tensor<6xf32>
  func.return
}

// -----

func.func @group_norm_bias(%x: tensor<2x6x4xf32>, %w: tensor<6xf32>, %b: tensor<4xf32>) {
  // expected-error@+1 {{bias [4] must be [6]: the dims of x [2, 6, 4] that it scales}}
  %r = graph.group_norm %x, %w, %b {eps = 1.0e-5, num_groups = 2, layout = "nchw"} : (tensor<2x6x4xf32>, tensor<6xf32>, tensor<4xf32>) -> tensor<2x6x4xf32>
  func.return
}

// -----

func.func @batch_norm(%x: tensor<2x6x4xf32>, %m: tensor<4xf32>) {
  // expected-error@+1 {{mean [4] must be [6]: the dims of x [2, 6, 4] that it scales}}
  %r = graph.batch_norm %x, %m, %m {axis = 1, eps = 1.0e-5} : (tensor<2x6x4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<2x6x4xf32>
  func.return
}

// -----

func.func @batch_norm_operands(%x: tensor<2x6x4xf32>, %m: tensor<6xf32>) {
  // expected-error@+1 {{Expected at least 3 operands, but got 2}}
  %r = graph.batch_norm %x, %m {axis = 1, eps = 1.0e-5} : (tensor<2x6x4xf32>, tensor<6xf32>) -> tensor<2x6x4xf32>
  func.return
}
