// RUN: ait-opt %s | ait-opt - | filecheck %s
// RUN: ait-opt %s --print-op-generic | ait-opt - | filecheck %s

!batch_6_16_16_6x16x16xf32 = tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>
!batch_4_seq_f32 = tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
!batch_4_8_4x8xf32 = tensor<?x4x8xf32, #sym.dims<[batch, 4, 8], batch in [1, 64]>>
!batch_8_8xf32 = tensor<?x8xf32, #sym.dims<[batch, 8], batch in [1, 64]>>

// CHECK-LABEL: func.func @softmax(
// CHECK-NEXT: %y = graph.softmax %x {axis = 2} : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @softmax(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.softmax %x {axis = 2} : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @log_softmax(
// CHECK-NEXT: %y = graph.log_softmax %x {axis = 1} : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @log_softmax(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.log_softmax %x {axis = 1} : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @layer_norm_1(
// CHECK-NEXT: %y = graph.layer_norm %x {axes_rank = 1, eps = 1.0e-05} : tensor<?x4x8xf32, #sym.dims<[batch, 4, 8], batch in [1, 64]>>
func.func @layer_norm_1(%x: !batch_4_8_4x8xf32) -> !batch_4_8_4x8xf32 {
  %y = graph.layer_norm %x {axes_rank = 1, eps = 1.0e-05} : !batch_4_8_4x8xf32
  func.return %y : !batch_4_8_4x8xf32
}

// CHECK-LABEL: func.func @layer_norm_2(
// CHECK-NEXT: %y = graph.layer_norm %x, %weight {axes_rank = 2, eps = 1.0e-05} : (tensor<?x4x8xf32, #sym.dims<[batch, 4, 8], batch in [1, 64]>>, tensor<4x8xf32>) -> tensor<?x4x8xf32, #sym.dims<[batch, 4, 8], batch in [1, 64]>>
func.func @layer_norm_2(%x: !batch_4_8_4x8xf32, %weight: tensor<4x8xf32>) -> !batch_4_8_4x8xf32 {
  %y = graph.layer_norm %x, %weight {axes_rank = 2, eps = 1.0e-05} : (!batch_4_8_4x8xf32, tensor<4x8xf32>) -> !batch_4_8_4x8xf32
  func.return %y : !batch_4_8_4x8xf32
}

// CHECK-LABEL: func.func @layer_norm_3(
// CHECK-NEXT: %y = graph.layer_norm %x, %weight, %bias {axes_rank = 1, eps = 1.0e-12} : (tensor<?x8xf32, #sym.dims<[batch, 8], batch in [1, 64]>>, tensor<8xf32>, tensor<8xf32>) -> tensor<?x8xf32, #sym.dims<[batch, 8], batch in [1, 64]>>
func.func @layer_norm_3(%x: !batch_8_8xf32, %weight: tensor<8xf32>, %bias: tensor<8xf32>) -> !batch_8_8xf32 {
  %y = graph.layer_norm %x, %weight, %bias {axes_rank = 1, eps = 1.0e-12} : (!batch_8_8xf32, tensor<8xf32>, tensor<8xf32>) -> !batch_8_8xf32
  func.return %y : !batch_8_8xf32
}

// CHECK-LABEL: func.func @rms_norm_1(
// CHECK-NEXT: %y = graph.rms_norm %x {axes_rank = 1, eps = 1.0e-06} : tensor<?x4x8xf32, #sym.dims<[batch, 4, 8], batch in [1, 64]>>
func.func @rms_norm_1(%x: !batch_4_8_4x8xf32) -> !batch_4_8_4x8xf32 {
  %y = graph.rms_norm %x {axes_rank = 1, eps = 1.0e-06} : !batch_4_8_4x8xf32
  func.return %y : !batch_4_8_4x8xf32
}

// CHECK-LABEL: func.func @rms_norm_2(
// CHECK-NEXT: %y = graph.rms_norm %x, %weight {axes_rank = 1, eps = 1.0e-06} : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<?xf32, #sym.dims<[seq], seq in [1, 256]>>) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @rms_norm_2(%x: !batch_4_seq_f32, %weight: tensor<?xf32, #sym.dims<[seq], seq in [1, 256]>>) -> !batch_4_seq_f32 {
  %y = graph.rms_norm %x, %weight {axes_rank = 1, eps = 1.0e-06} : (!batch_4_seq_f32, tensor<?xf32, #sym.dims<[seq], seq in [1, 256]>>) -> !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @group_norm_1(
// CHECK-NEXT: %y = graph.group_norm %x, %weight, %bias {num_groups = 2, layout = "nchw", eps = 1.0e-05} : (tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>, tensor<6xf32>, tensor<6xf32>) -> tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>
func.func @group_norm_1(%x: !batch_6_16_16_6x16x16xf32, %weight: tensor<6xf32>, %bias: tensor<6xf32>) -> !batch_6_16_16_6x16x16xf32 {
  %y = graph.group_norm %x, %weight, %bias {num_groups = 2, layout = "nchw", eps = 1.0e-05} : (!batch_6_16_16_6x16x16xf32, tensor<6xf32>, tensor<6xf32>) -> !batch_6_16_16_6x16x16xf32
  func.return %y : !batch_6_16_16_6x16x16xf32
}

// CHECK-LABEL: func.func @group_norm_2(
// CHECK-NEXT: %y = graph.group_norm %x {num_groups = 4, layout = "nhwc", eps = 1.0e-05} : tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>
func.func @group_norm_2(%x: !batch_6_16_16_6x16x16xf32) -> !batch_6_16_16_6x16x16xf32 {
  %y = graph.group_norm %x {num_groups = 4, layout = "nhwc", eps = 1.0e-05} : !batch_6_16_16_6x16x16xf32
  func.return %y : !batch_6_16_16_6x16x16xf32
}

// CHECK-LABEL: func.func @batch_norm_1(
// CHECK-NEXT: %y = graph.batch_norm %x, %mean, %variance {axis = 1, eps = 1.0e-05} : (tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>, tensor<6xf32>, tensor<6xf32>) -> tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>
func.func @batch_norm_1(%x: !batch_6_16_16_6x16x16xf32, %mean: tensor<6xf32>, %variance: tensor<6xf32>) -> !batch_6_16_16_6x16x16xf32 {
  %y = graph.batch_norm %x, %mean, %variance {axis = 1, eps = 1.0e-05} : (!batch_6_16_16_6x16x16xf32, tensor<6xf32>, tensor<6xf32>) -> !batch_6_16_16_6x16x16xf32
  func.return %y : !batch_6_16_16_6x16x16xf32
}

// CHECK-LABEL: func.func @batch_norm_2(
// CHECK-NEXT: %y = graph.batch_norm %x, %mean, %variance, %weight, %bias {axis = 3, eps = 1.0e-05} : (tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>) -> tensor<?x6x16x16xf32, #sym.dims<[batch, 6, 16, 16], batch in [1, 64]>>
func.func @batch_norm_2(%x: !batch_6_16_16_6x16x16xf32, %mean: tensor<16xf32>, %variance: tensor<16xf32>, %weight: tensor<16xf32>, %bias: tensor<16xf32>) -> !batch_6_16_16_6x16x16xf32 {
  %y = graph.batch_norm %x, %mean, %variance, %weight, %bias {axis = 3, eps = 1.0e-05} : (!batch_6_16_16_6x16x16xf32, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>) -> !batch_6_16_16_6x16x16xf32
  func.return %y : !batch_6_16_16_6x16x16xf32
}
