// RUN: ait-opt %s --split-input-file --verify-diagnostics

func.func @matmul_vector(%a: tensor<4xf32>, %b: tensor<4x5xf32>) {
  // expected-error@+1 {{a [4] and b [4, 5] must both have rank 2 or more}}
  %r = graph.matmul %a, %b : (tensor<4xf32>, tensor<4x5xf32>) -> tensor<5xf32>
  func.return
}

// -----

func.func @matmul(%a: tensor<3x4xf32>, %b: tensor<5x6xf32>) {
  // expected-error@+1 {{a [3, 4] and b [5, 6] contract 4 against 5}}
  %r = graph.matmul %a, %b : (tensor<3x4xf32>, tensor<5x6xf32>) -> tensor<3x6xf32>
  func.return
}

// -----

func.func @matmul_transposed(%a: tensor<3x4xf32>, %b: tensor<4x5xf32>) {
  // expected-error@+1 {{a [3, 4] and b [4, 5] contract 4 against 5}}
  %r = graph.matmul %a, %b {transpose_b} : (tensor<3x4xf32>, tensor<4x5xf32>) -> tensor<3x5xf32>
  func.return
}

// -----

func.func @matmul_batch(%a: tensor<2x3x4xf32>, %b: tensor<3x4x5xf32>) {
  // expected-error@+1 {{the batch dims of a, [2] and the batch dims of b, [3] do not broadcast: 2 against 3}}
  %r = graph.matmul %a, %b : (tensor<2x3x4xf32>, tensor<3x4x5xf32>) -> tensor<2x3x5xf32>
  func.return
}

// -----

func.func @matmul_int(%a: tensor<4x4xi32>) {
  // expected-error@+1 {{a has elements i32, not a float type}}
  %r = graph.matmul %a, %a : tensor<4x4xi32>
  func.return
}

// -----

func.func @matmul_elements(%a: tensor<4x4xf32>, %b: tensor<4x4xbf16>) {
  // expected-error@+1 {{a has elements f32 but b bf16: cast one of them}}
  %r = graph.matmul %a, %b : (tensor<4x4xf32>, tensor<4x4xbf16>) -> tensor<4x4xf32>
  func.return
}

// -----

func.func @linear(%x: tensor<2x8xf32>, %w: tensor<8x16xf32>) {
  // expected-error@+1 {{x [2, 8] and weight [8, 16] contract 8 against 16}}
  %r = graph.linear %x, %w : (tensor<2x8xf32>, tensor<8x16xf32>) -> tensor<2x8xf32>
  func.return
}

// -----

func.func @linear_weight(%x: tensor<2x8xf32>, %w: tensor<8xf32>) {
  // expected-error@+1 {{weight [8] must have rank 2}}
  %r = graph.linear %x, %w : (tensor<2x8xf32>, tensor<8xf32>) -> tensor<2xf32>
  func.return
}

// -----

func.func @linear_bias(%x: tensor<2x8xf32>, %w: tensor<16x8xf32>, %b: tensor<8xf32>) {
  // expected-error@+1 {{bias [8] must be [16]: one number for each row of weight [16, 8]}}
  %r = graph.linear %x, %w, %b : (tensor<2x8xf32>, tensor<16x8xf32>, tensor<8xf32>) -> tensor<2x16xf32>
  func.return
}

// -----

func.func @linear_operands(%x: tensor<8x8xf32>) {
  // expected-error@+1 {{Expected 2 or 3 operands, but got 4}}
  %r = graph.linear %x, %x, %x, %x : tensor<8x8xf32>
  func.return
}

// -----

func.func @conv2d_rank(%x: tensor<3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  // expected-error@+1 {{x [3, 8, 8] must have rank 4}}
  %r = graph.conv2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<4x6x6xf32>
  func.return
}

// -----

func.func @conv2d_channels(%x: tensor<1x3x8x8xf32>, %w: tensor<4x4x3x3xf32>) {
  // expected-error@+1 {{x [1, 3, 8, 8] has 3 channels, but weight [4, 4, 3, 3] with groups = 1 takes 4}}
  %r = graph.conv2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x3x8x8xf32>, tensor<4x4x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @conv2d_groups(%x: tensor<1x4x8x8xf32>, %w: tensor<3x2x3x3xf32>) {
  // expected-error@+1 {{weight [3, 2, 3, 3]: groups = 2 does not divide 3 outputs}}
  %r = graph.conv2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 2, layout = "nchw"} : (tensor<1x4x8x8xf32>, tensor<3x2x3x3xf32>) -> tensor<1x3x6x6xf32>
  func.return
}

// -----

func.func @conv2d_bias(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>, %b: tensor<3xf32>) {
  // expected-error@+1 {{bias [3] must be [4]: one number for each output of weight [4, 3, 3, 3]}}
  %r = graph.conv2d %x, %w, %b {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @conv2d_strides(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  // expected-error@+1 {{strides = [1, 0] must be 1 or more}}
  %r = graph.conv2d %x, %w {strides = [1, 0], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @conv2d_padding(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  // expected-error@+1 {{expected 4 i64 integers, got array<i64: 1, 1>}}
  %r = graph.conv2d %x, %w {strides = [1, 1], padding = [1, 1], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @conv2d_layout(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  // expected-error@+1 {{expected one of "nchw", "nhwc", got "hwcn"}}
  %r = graph.conv2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "hwcn"} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @conv2d_window(%x: tensor<1x3x?x8xf32, #sym.dims<[1, 3, h, 8], h in [2, 9]>>, %w: tensor<4x3x3x3xf32>) {
  // expected-error@+1 {{x [1, 3, h, 8]: a window of 3 does not fit into h with padding 0 and 0}}
  %r = graph.conv2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x3x?x8xf32, #sym.dims<[1, 3, h, 8], h in [2, 9]>>, tensor<4x3x3x3xf32>) -> tensor<1x3x?x8xf32, #sym.dims<[1, 3, h, 8], h in [2, 9]>>
  func.return
}

// -----

func.func @conv2d_weight(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x?x3xf32, #sym.dims<[4, 3, k, 3], k in [1, 3]>>) {
  // expected-error@+1 {{dim 2 of weight [4, 3, k, 3] must be static}}
  %r = graph.conv2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x3x8x8xf32>, tensor<4x3x?x3xf32, #sym.dims<[4, 3, k, 3], k in [1, 3]>>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @conv_transpose2d_channels(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x2x2xf32>) {
  // expected-error@+1 {{x [1, 3, 8, 8] has 3 channels, but weight [4, 3, 2, 2] with groups = 1 takes 4}}
  %r = graph.conv_transpose2d %x, %w {strides = [2, 2], padding = [0, 0, 0, 0], output_padding = [0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x3x8x8xf32>, tensor<4x3x2x2xf32>) -> tensor<1x3x16x16xf32>
  func.return
}

// -----

func.func @conv_transpose2d_groups(%x: tensor<1x3x8x8xf32>, %w: tensor<3x2x2x2xf32>) {
  // expected-error@+1 {{weight [3, 2, 2, 2]: groups = 2 does not divide 3 inputs and 4 outputs}}
  %r = graph.conv_transpose2d %x, %w {strides = [2, 2], padding = [0, 0, 0, 0], output_padding = [0, 0], dilations = [1, 1], groups = 2, layout = "nchw"} : (tensor<1x3x8x8xf32>, tensor<3x2x2x2xf32>) -> tensor<1x4x16x16xf32>
  func.return
}

// -----

func.func @conv_transpose2d_bias(%x: tensor<1x4x8x8xf32>, %w: tensor<4x3x2x2xf32>, %b: tensor<3xf32>) {
  // expected-error@+1 {{bias [3] must be [6]: one number for each output of weight [4, 3, 2, 2]}}
  %r = graph.conv_transpose2d %x, %w, %b {strides = [2, 2], padding = [0, 0, 0, 0], output_padding = [0, 0], dilations = [1, 1], groups = 2, layout = "nchw"} : (tensor<1x4x8x8xf32>, tensor<4x3x2x2xf32>, tensor<3xf32>) -> tensor<1x6x16x16xf32>
  func.return
}

// -----

func.func @conv_transpose2d_output_padding(%x: tensor<1x3x8x8xf32>, %w: tensor<3x4x2x2xf32>) {
  // expected-error@+1 {{output_padding = [0, 2] must be less than strides = [2, 2] or dilations = [1, 1]}}
  %r = graph.conv_transpose2d %x, %w {strides = [2, 2], padding = [0, 0, 0, 0], output_padding = [0, 2], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x3x8x8xf32>, tensor<3x4x2x2xf32>) -> tensor<1x4x16x18xf32>
  func.return
}

// -----

func.func @conv_transpose2d_padding(%x: tensor<1x3x1x8xf32>, %w: tensor<3x4x2x2xf32>) {
  // expected-error@+1 {{x [1, 3, 1, 8]: padding 1 and 1 leaves nothing of 1 windows of 2 in steps of 2}}
  %r = graph.conv_transpose2d %x, %w {strides = [2, 2], padding = [1, 0, 1, 0], output_padding = [0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x3x1x8xf32>, tensor<3x4x2x2xf32>) -> tensor<1x4x1x16xf32>
  func.return
}

// -----

func.func @conv_transpose2d_empty(%x: tensor<1x3x?x8xf32, #sym.dims<[1, 3, h, 8], h in [0, 9]>>, %w: tensor<3x4x4x2xf32>) {
  // expected-error@+1 {{x [1, 3, h, 8]: an image of h pixels may be empty}}
  %r = graph.conv_transpose2d %x, %w {strides = [2, 2], padding = [0, 0, 0, 0], output_padding = [0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x3x?x8xf32, #sym.dims<[1, 3, h, 8], h in [0, 9]>>, tensor<3x4x4x2xf32>) -> tensor<1x4x1x16xf32>
  func.return
}
