// RUN: ait-opt %s | ait-opt - | filecheck %s
// RUN: ait-opt %s --print-op-generic | ait-opt - | filecheck %s

!batch_6_16_16_6x16x16xf32 = tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>

// CHECK-LABEL: func.func @max_pool2d_1(
// CHECK-NEXT: %y = graph.max_pool2d %x {kernel = [3, 3], strides = [2, 2], padding = [1, 1, 1, 1], dilations = [1, 1], layout = "nchw"} : (tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>) -> tensor<?x6x8x8xf32, #sym.dims<[batch, 6, 8, 8], batch in [1, 64]>>
func.func @max_pool2d_1(%x: !batch_6_16_16_6x16x16xf32) -> tensor<?x6x8x8xf32, #sym.dims<[batch, 6, 8, 8], batch in [1, 64]>> {
  %y = graph.max_pool2d %x {kernel = [3, 3], strides = [2, 2], padding = [1, 1, 1, 1], dilations = [1, 1], layout = "nchw"} : (!batch_6_16_16_6x16x16xf32) -> tensor<?x6x8x8xf32, #sym.dims<[batch, 6, 8, 8], batch in [1, 64]>>
  func.return %y : tensor<?x6x8x8xf32, #sym.dims<[batch, 6, 8, 8], batch in [1, 64]>>
}

// CHECK-LABEL: func.func @max_pool2d_2(
// CHECK-NEXT: %y = graph.max_pool2d %x {kernel = [2, 2], strides = [2, 2], padding = [0, 0, 0, 0], dilations = [1, 2], ceil_mode, layout = "nhwc"} : (tensor<?x5x7x3xf32, #sym.dims<[batch, 5, 7, 3], batch in [1, 64]>>) -> tensor<?x3x3x3xf32, #sym.dims<[batch, 3, 3, 3], batch in [1, 64]>>
func.func @max_pool2d_2(%x: tensor<?x5x7x3xf32, #sym.dims<[batch, 5, 7, 3], batch in [1, 64]>>) -> tensor<?x3x3x3xf32, #sym.dims<[batch, 3, 3, 3], batch in [1, 64]>> {
  %y = graph.max_pool2d %x {kernel = [2, 2], strides = [2, 2], padding = [0, 0, 0, 0], dilations = [1, 2], ceil_mode, layout = "nhwc"} : (tensor<?x5x7x3xf32, #sym.dims<[batch, 5, 7, 3], batch in [1, 64]>>) -> tensor<?x3x3x3xf32, #sym.dims<[batch, 3, 3, 3], batch in [1, 64]>>
  func.return %y : tensor<?x3x3x3xf32, #sym.dims<[batch, 3, 3, 3], batch in [1, 64]>>
}

// CHECK-LABEL: func.func @avg_pool2d_1(
// CHECK-NEXT: %y = graph.avg_pool2d %x {kernel = [2, 4], strides = [2, 4], padding = [0, 0, 0, 0], count_include_pad, layout = "nchw"} : (tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>) -> tensor<?x6x8x4xf32, #sym.dims<[batch, 6, 8, 4], batch in [1, 64]>>
func.func @avg_pool2d_1(%x: !batch_6_16_16_6x16x16xf32) -> tensor<?x6x8x4xf32, #sym.dims<[batch, 6, 8, 4], batch in [1, 64]>> {
  %y = graph.avg_pool2d %x {kernel = [2, 4], strides = [2, 4], padding = [0, 0, 0, 0], count_include_pad, layout = "nchw"} : (!batch_6_16_16_6x16x16xf32) -> tensor<?x6x8x4xf32, #sym.dims<[batch, 6, 8, 4], batch in [1, 64]>>
  func.return %y : tensor<?x6x8x4xf32, #sym.dims<[batch, 6, 8, 4], batch in [1, 64]>>
}

// CHECK-LABEL: func.func @avg_pool2d_2(
// CHECK-NEXT: %y = graph.avg_pool2d %x {kernel = [3, 3], strides = [3, 3], padding = [0, 0, 0, 0], ceil_mode, layout = "nchw"} : (tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>) -> tensor<?x6x6x6xf32, #sym.dims<[batch, 6, 6, 6], batch in [1, 64]>>
func.func @avg_pool2d_2(%x: !batch_6_16_16_6x16x16xf32) -> tensor<?x6x6x6xf32, #sym.dims<[batch, 6, 6, 6], batch in [1, 64]>> {
  %y = graph.avg_pool2d %x {kernel = [3, 3], strides = [3, 3], padding = [0, 0, 0, 0], ceil_mode, layout = "nchw"} : (!batch_6_16_16_6x16x16xf32) -> tensor<?x6x6x6xf32, #sym.dims<[batch, 6, 6, 6], batch in [1, 64]>>
  func.return %y : tensor<?x6x6x6xf32, #sym.dims<[batch, 6, 6, 6], batch in [1, 64]>>
}

// CHECK-LABEL: func.func @adaptive_avg_pool2d(
// CHECK-NEXT: %y = graph.adaptive_avg_pool2d %x {output_size = [1, 1], layout = "nchw"} : (tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>) -> tensor<?x6x1x1xf32, #sym.dims<[batch, 6, 1, 1], batch in [1, 64]>>
func.func @adaptive_avg_pool2d(%x: !batch_6_16_16_6x16x16xf32) -> tensor<?x6x1x1xf32, #sym.dims<[batch, 6, 1, 1], batch in [1, 64]>> {
  %y = graph.adaptive_avg_pool2d %x {output_size = [1, 1], layout = "nchw"} : (!batch_6_16_16_6x16x16xf32) -> tensor<?x6x1x1xf32, #sym.dims<[batch, 6, 1, 1], batch in [1, 64]>>
  func.return %y : tensor<?x6x1x1xf32, #sym.dims<[batch, 6, 1, 1], batch in [1, 64]>>
}

// CHECK-LABEL: func.func @adaptive_max_pool2d(
// CHECK-NEXT: %y = graph.adaptive_max_pool2d %x {output_size = [2, 3], layout = "nhwc"} : (tensor<?x?x5x3xf32, #sym.dims<[batch, seq, 5, 3], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x2x3x3xf32, #sym.dims<[batch, 2, 3, 3], batch in [1, 64]>>
func.func @adaptive_max_pool2d(%x: tensor<?x?x5x3xf32, #sym.dims<[batch, seq, 5, 3], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x2x3x3xf32, #sym.dims<[batch, 2, 3, 3], batch in [1, 64]>> {
  %y = graph.adaptive_max_pool2d %x {output_size = [2, 3], layout = "nhwc"} : (tensor<?x?x5x3xf32, #sym.dims<[batch, seq, 5, 3], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x2x3x3xf32, #sym.dims<[batch, 2, 3, 3], batch in [1, 64]>>
  func.return %y : tensor<?x2x3x3xf32, #sym.dims<[batch, 2, 3, 3], batch in [1, 64]>>
}

// CHECK-LABEL: func.func @resize_1(
// CHECK-NEXT: %y = graph.resize %x {mode = "nearest", coordinates = "half_pixel", layout = "nchw"} : (tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>) -> tensor<?x6x32x?xf32, #sym.dims<[batch, 6, 32, seq], batch in [1, 64], seq in [1, 256]>>
func.func @resize_1(%x: !batch_6_16_16_6x16x16xf32) -> tensor<?x6x32x?xf32, #sym.dims<[batch, 6, 32, seq], batch in [1, 64], seq in [1, 256]>> {
  %y = graph.resize %x {mode = "nearest", coordinates = "half_pixel", layout = "nchw"} : (!batch_6_16_16_6x16x16xf32) -> tensor<?x6x32x?xf32, #sym.dims<[batch, 6, 32, seq], batch in [1, 64], seq in [1, 256]>>
  func.return %y : tensor<?x6x32x?xf32, #sym.dims<[batch, 6, 32, seq], batch in [1, 64], seq in [1, 256]>>
}

// CHECK-LABEL: func.func @resize_2(
// CHECK-NEXT: %y = graph.resize %x {mode = "bilinear", coordinates = "align_corners", layout = "nhwc"} : (tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>) -> tensor<?x3x4x16xf32, #sym.dims<[batch, 3, 4, 16], batch in [1, 64]>>
func.func @resize_2(%x: !batch_6_16_16_6x16x16xf32) -> tensor<?x3x4x16xf32, #sym.dims<[batch, 3, 4, 16], batch in [1, 64]>> {
  %y = graph.resize %x {mode = "bilinear", coordinates = "align_corners", layout = "nhwc"} : (!batch_6_16_16_6x16x16xf32) -> tensor<?x3x4x16xf32, #sym.dims<[batch, 3, 4, 16], batch in [1, 64]>>
  func.return %y : tensor<?x3x4x16xf32, #sym.dims<[batch, 3, 4, 16], batch in [1, 64]>>
}
