// RUN: ait-opt %s --split-input-file --verify-diagnostics

func.func @max_pool2d_rank(%x: tensor<3x8x8xf32>) {
  // expected-error@+1 {{x [3, 8, 8] must have rank 4}}
  %r = graph.max_pool2d %x {kernel = [2, 2], strides = [2, 2], padding = [0, 0, 0, 0], dilations = [1, 1], layout = "nchw"} : (tensor<3x8x8xf32>) -> tensor<3x4x4xf32>
  func.return
}

// -----

func.func @max_pool2d_kernel(%x: tensor<1x3x8x8xf32>) {
  // expected-error@+1 {{kernel = [0, 2] must be 1 or more}}
  %r = graph.max_pool2d %x {kernel = [0, 2], strides = [2, 2], padding = [0, 0, 0, 0], dilations = [1, 1], layout = "nchw"} : (tensor<1x3x8x8xf32>) -> tensor<1x3x4x4xf32>
  func.return
}

// -----

func.func @max_pool2d_padding(%x: tensor<1x3x8x8xf32>) {
  // expected-error@+1 {{padding = [0, -1, 0, 0] must not be negative}}
  %r = graph.max_pool2d %x {kernel = [2, 2], strides = [2, 2], padding = [0, -1, 0, 0], dilations = [1, 1], layout = "nchw"} : (tensor<1x3x8x8xf32>) -> tensor<1x3x4x4xf32>
  func.return
}

// -----

func.func @max_pool2d_window(%x: tensor<1x3x8x8xf32>) {
  // expected-error@+1 {{x [1, 3, 8, 8]: a window of 9 does not fit into 8 with padding 0 and 0}}
  %r = graph.max_pool2d %x {kernel = [9, 1], strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], layout = "nchw"} : (tensor<1x3x8x8xf32>) -> tensor<1x3x0x8xf32>
  func.return
}

// -----

func.func @avg_pool2d(%x: tensor<1x3x8x8xi32>) {
  // expected-error@+1 {{x has elements i32, not a float type}}
  %r = graph.avg_pool2d %x {kernel = [2, 2], strides = [2, 2], padding = [0, 0, 0, 0], layout = "nchw"} : (tensor<1x3x8x8xi32>) -> tensor<1x3x4x4xi32>
  func.return
}

// -----

func.func @avg_pool2d_ceil(%x: tensor<1x3x7x7xf32>) {
  // expected-error@+1 {{the result is tensor<1x3x3x3xf32>, but operands and properties give tensor<1x3x4x4xf32>}}
  %r = graph.avg_pool2d %x {kernel = [2, 2], strides = [2, 2], padding = [0, 0, 0, 0], ceil_mode, layout = "nchw"} : (tensor<1x3x7x7xf32>) -> tensor<1x3x3x3xf32>
  func.return
}

// -----

func.func @adaptive_avg_pool2d(%x: tensor<1x3x8x8xf32>) {
  // expected-error@+1 {{expected 2 i64 integers, got array<i64: 1>}}
  %r = graph.adaptive_avg_pool2d %x {output_size = [1], layout = "nchw"} : (tensor<1x3x8x8xf32>) -> tensor<1x3x1x1xf32>
  func.return
}

// -----

func.func @adaptive_max_pool2d(%x: tensor<1x3x0x8xf32>) {
  // expected-error@+1 {{x [1, 3, 0, 8] must have at least one pixel}}
  %r = graph.adaptive_max_pool2d %x {output_size = [1, 1], layout = "nchw"} : (tensor<1x3x0x8xf32>) -> tensor<1x3x1x1xf32>
  func.return
}

// -----

func.func @resize(%x: tensor<1x3x8x8xf32>) {
  // expected-error@+1 {{expected one of "nearest", "bilinear", got "cubic"}}
  %r = graph.resize %x {mode = "cubic", coordinates = "half_pixel", layout = "nchw"} : (tensor<1x3x8x8xf32>) -> tensor<1x3x16x16xf32>
  func.return
}

// -----

func.func @resize_channels(%x: tensor<1x3x8x8xf32>) {
  // expected-error@+1 {{the result is tensor<1x4x16x16xf32>, but operands and properties give tensor<1x3x16x16xf32>}}
  %r = graph.resize %x {mode = "nearest", coordinates = "half_pixel", layout = "nchw"} : (tensor<1x3x8x8xf32>) -> tensor<1x4x16x16xf32>
  func.return
}
