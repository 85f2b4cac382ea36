// RUN: ait-opt %s | ait-opt - | filecheck %s
// RUN: ait-opt %s --print-op-generic | ait-opt - | filecheck %s

!batch_seq_9_9xf32 = tensor<?x?x9xf32, #sym.dims<[batch, seq, 9], batch in [1, 64], seq in [1, 256]>>

// CHECK-LABEL: func.func @matmul_1(
// CHECK-NEXT: %y = graph.matmul %a, %b : (tensor<?x3x5x7xf32, #sym.dims<[batch, 3, 5, 7], batch in [1, 64]>>, tensor<7x9xf32>) -> tensor<?x3x5x9xf32, #sym.dims<[batch, 3, 5, 9], batch in [1, 64]>>
func.func @matmul_1(%a: tensor<?x3x5x7xf32, #sym.dims<[batch, 3, 5, 7], batch in [1, 64]>>, %b: tensor<7x9xf32>) -> tensor<?x3x5x9xf32, #sym.dims<[batch, 3, 5, 9], batch in [1, 64]>> {
  %y = graph.matmul %a, %b : (tensor<?x3x5x7xf32, #sym.dims<[batch, 3, 5, 7], batch in [1, 64]>>, tensor<7x9xf32>) -> tensor<?x3x5x9xf32, #sym.dims<[batch, 3, 5, 9], batch in [1, 64]>>
  func.return %y : tensor<?x3x5x9xf32, #sym.dims<[batch, 3, 5, 9], batch in [1, 64]>>
}

// CHECK-LABEL: func.func @matmul_2(
// CHECK-NEXT: %y = graph.matmul %a, %b {transpose_a} : (tensor<?x5x?xf32, #sym.dims<[batch, 5, seq], batch in [1, 64], seq in [1, 256]>>, tensor<1x5x9xf32>) -> tensor<?x?x9xf32, #sym.dims<[batch, seq, 9], batch in [1, 64], seq in [1, 256]>>
func.func @matmul_2(%a: tensor<?x5x?xf32, #sym.dims<[batch, 5, seq], batch in [1, 64], seq in [1, 256]>>, %b: tensor<1x5x9xf32>) -> !batch_seq_9_9xf32 {
  %y = graph.matmul %a, %b {transpose_a} : (tensor<?x5x?xf32, #sym.dims<[batch, 5, seq], batch in [1, 64], seq in [1, 256]>>, tensor<1x5x9xf32>) -> !batch_seq_9_9xf32
  func.return %y : !batch_seq_9_9xf32
}

// CHECK-LABEL: func.func @matmul_3(
// CHECK-NEXT: %y = graph.matmul %a, %b {transpose_b} : (tensor<?x7xf32, #sym.dims<[seq, 7], seq in [1, 256]>>, tensor<?x9x7xf32, #sym.dims<[batch, 9, 7], batch in [1, 64]>>) -> tensor<?x?x9xf32, #sym.dims<[batch, seq, 9], batch in [1, 64], seq in [1, 256]>>
func.func @matmul_3(%a: tensor<?x7xf32, #sym.dims<[seq, 7], seq in [1, 256]>>, %b: tensor<?x9x7xf32, #sym.dims<[batch, 9, 7], batch in [1, 64]>>) -> !batch_seq_9_9xf32 {
  %y = graph.matmul %a, %b {transpose_b} : (tensor<?x7xf32, #sym.dims<[seq, 7], seq in [1, 256]>>, tensor<?x9x7xf32, #sym.dims<[batch, 9, 7], batch in [1, 64]>>) -> !batch_seq_9_9xf32
  func.return %y : !batch_seq_9_9xf32
}

// CHECK-LABEL: func.func @linear_1(
// CHECK-NEXT: %y = graph.linear %x, %weight : (tensor<?x?x8xf32, #sym.dims<[batch, seq, 8], batch in [1, 64], seq in [1, 256]>>, tensor<16x8xf32>) -> tensor<?x?x16xf32, #sym.dims<[batch, seq, 16], batch in [1, 64], seq in [1, 256]>>
func.func @linear_1(%x: tensor<?x?x8xf32, #sym.dims<[batch, seq, 8], batch in [1, 64], seq in [1, 256]>>, %weight: tensor<16x8xf32>) -> tensor<?x?x16xf32, #sym.dims<[batch, seq, 16], batch in [1, 64], seq in [1, 256]>> {
  %y = graph.linear %x, %weight : (tensor<?x?x8xf32, #sym.dims<[batch, seq, 8], batch in [1, 64], seq in [1, 256]>>, tensor<16x8xf32>) -> tensor<?x?x16xf32, #sym.dims<[batch, seq, 16], batch in [1, 64], seq in [1, 256]>>
  func.return %y : tensor<?x?x16xf32, #sym.dims<[batch, seq, 16], batch in [1, 64], seq in [1, 256]>>
}

// CHECK-LABEL: func.func @linear_2(
// CHECK-NEXT: %y = graph.linear %x, %weight, %bias : (tensor<8xf32>, tensor<16x8xf32>, tensor<16xf32>) -> tensor<16xf32>
func.func @linear_2(%x: tensor<8xf32>, %weight: tensor<16x8xf32>, %bias: tensor<16xf32>) -> tensor<16xf32> {
  %y = graph.linear %x, %weight, %bias : (tensor<8xf32>, tensor<16x8xf32>, tensor<16xf32>) -> tensor<16xf32>
  func.return %y : tensor<16xf32>
}

// CHECK-LABEL: func.func @conv2d_1(
// CHECK-NEXT: %y = graph.conv2d %x, %weight, %bias {strides = [2, 2], padding = [1, 1, 1, 1], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>, tensor<8x6x3x3xf32>, tensor<8xf32>) -> tensor<?x8x8x8xf32, #sym.dims<[batch, 8, 8, 8], batch in [1, 64]>>
func.func @conv2d_1(%x: tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>, %weight: tensor<8x6x3x3xf32>, %bias: tensor<8xf32>) -> tensor<?x8x8x8xf32, #sym.dims<[batch, 8, 8, 8], batch in [1, 64]>> {
  %y = graph.conv2d %x, %weight, %bias {strides = [2, 2], padding = [1, 1, 1, 1], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>, tensor<8x6x3x3xf32>, tensor<8xf32>) -> tensor<?x8x8x8xf32, #sym.dims<[batch, 8, 8, 8], batch in [1, 64]>>
  func.return %y : tensor<?x8x8x8xf32, #sym.dims<[batch, 8, 8, 8], batch in [1, 64]>>
}

// CHECK-LABEL: func.func @conv2d_2(
// CHECK-NEXT: %y = graph.conv2d %x, %weight {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [2, 1], groups = 2, layout = "nhwc"} : (tensor<?x?x9x6xf32, #sym.dims<[batch, seq + 8, 9, 6], batch in [1, 64], seq in [1, 256]>>, tensor<8x3x2x3xf32>) -> tensor<?x?x8x8xf32, #sym.dims<[batch, seq + 4, 8, 8], batch in [1, 64], seq in [1, 256]>>
func.func @conv2d_2(%x: tensor<?x?x9x6xf32, #sym.dims<[batch, seq + 8, 9, 6], batch in [1, 64], seq in [1, 256]>>, %weight: tensor<8x3x2x3xf32>) -> tensor<?x?x8x8xf32, #sym.dims<[batch, seq + 4, 8, 8], batch in [1, 64], seq in [1, 256]>> {
  %y = graph.conv2d %x, %weight {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [2, 1], groups = 2, layout = "nhwc"} : (tensor<?x?x9x6xf32, #sym.dims<[batch, seq + 8, 9, 6], batch in [1, 64], seq in [1, 256]>>, tensor<8x3x2x3xf32>) -> tensor<?x?x8x8xf32, #sym.dims<[batch, seq + 4, 8, 8], batch in [1, 64], seq in [1, 256]>>
  func.return %y : tensor<?x?x8x8xf32, #sym.dims<[batch, seq + 4, 8, 8], batch in [1, 64], seq in [1, 256]>>
}

// CHECK-LABEL: func.func @conv_transpose2d_1(
// CHECK-NEXT: %y = graph.conv_transpose2d %x, %weight, %bias {strides = [2, 2], padding = [1, 1, 1, 1], output_padding = [1, 0], dilations = [1, 1], groups = 2, layout = "nchw"} : (tensor<?x6x8x8xf32, #sym.dims<[batch, 6, 8, 8], batch in [1, 64]>>, tensor<6x4x3x4xf32>, tensor<8xf32>) -> tensor<?x8x16x16xf32, #sym.dims<[batch, 8, 16, 16], batch in [1, 64]>>
func.func @conv_transpose2d_1(%x: tensor<?x6x8x8xf32, #sym.dims<[batch, 6, 8, 8], batch in [1, 64]>>, %weight: tensor<6x4x3x4xf32>, %bias: tensor<8xf32>) -> tensor<?x8x16x16xf32, #sym.dims<[batch, 8, 16, 16], batch in [1, 64]>> {
  %y = graph.conv_transpose2d %x, %weight, %bias {strides = [2, 2], padding = [1, 1, 1, 1], output_padding = [1, 0], dilations = [1, 1], groups = 2, layout = "nchw"} : (tensor<?x6x8x8xf32, #sym.dims<[batch, 6, 8, 8], batch in [1, 64]>>, tensor<6x4x3x4xf32>, tensor<8xf32>) -> tensor<?x8x16x16xf32, #sym.dims<[batch, 8, 16, 16], batch in [1, 64]>>
  func.return %y : tensor<?x8x16x16xf32, #sym.dims<[batch, 8, 16, 16], batch in [1, 64]>>
}

// Channels-last weights are those of conv2d: [o, r, s, c / groups].
// CHECK-LABEL: func.func @conv_transpose2d_2(
// CHECK-NEXT: %y = graph.conv_transpose2d %x, %weight {strides = [1, 2], {{.*}}layout = "nhwc"} : (tensor<2x?x5x6xf16, #sym.dims<[2, seq, 5, 6], seq in [1, 256]>>, tensor<8x3x2x3xf16>) -> tensor<2x?x10x8xf16, #sym.dims<[2, seq + 4, 10, 8], seq in [1, 256]>>
func.func @conv_transpose2d_2(%x: tensor<2x?x5x6xf16, #sym.dims<[2, seq, 5, 6], seq in [1, 256]>>, %weight: tensor<8x3x2x3xf16>) -> tensor<2x?x10x8xf16, #sym.dims<[2, seq + 4, 10, 8], seq in [1, 256]>> {
  %y = graph.conv_transpose2d %x, %weight {strides = [1, 2], padding = [0, 0, 0, 0], output_padding = [0, 0], dilations = [2, 1], groups = 2, layout = "nhwc"} : (tensor<2x?x5x6xf16, #sym.dims<[2, seq, 5, 6], seq in [1, 256]>>, tensor<8x3x2x3xf16>) -> tensor<2x?x10x8xf16, #sym.dims<[2, seq + 4, 10, 8], seq in [1, 256]>>
  func.return %y : tensor<2x?x10x8xf16, #sym.dims<[2, seq + 4, 10, 8], seq in [1, 256]>>
}
