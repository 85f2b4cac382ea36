// RUN: ait-opt %s | ait-opt - | filecheck %s
// RUN: ait-opt %s --print-op-generic | ait-opt - | filecheck %s

!batch_4_seq_f32 = tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>

// CHECK-LABEL: func.func @reduce_sum(
// CHECK-NEXT: %y = graph.reduce_sum %x {axes = [0, 1, 2]} : (tensor<?x4x?xi64, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<i64>
func.func @reduce_sum(%x: tensor<?x4x?xi64, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<i64> {
  %y = graph.reduce_sum %x {axes = [0, 1, 2]} : (tensor<?x4x?xi64, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<i64>
  func.return %y : tensor<i64>
}

// CHECK-LABEL: func.func @reduce_mean(
// CHECK-NEXT: %y = graph.reduce_mean %x {axes = [0, 2], keepdims} : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<1x4x1xf32>
func.func @reduce_mean(%x: !batch_4_seq_f32) -> tensor<1x4x1xf32> {
  %y = graph.reduce_mean %x {axes = [0, 2], keepdims} : (!batch_4_seq_f32) -> tensor<1x4x1xf32>
  func.return %y : tensor<1x4x1xf32>
}

// CHECK-LABEL: func.func @reduce_max(
// CHECK-NEXT: %y = graph.reduce_max %x {axes = [1]} : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x?xf32, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>>
func.func @reduce_max(%x: !batch_4_seq_f32) -> tensor<?x?xf32, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>> {
  %y = graph.reduce_max %x {axes = [1]} : (!batch_4_seq_f32) -> tensor<?x?xf32, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>>
  func.return %y : tensor<?x?xf32, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>>
}

// CHECK-LABEL: func.func @reduce_min(
// CHECK-NEXT: %y = graph.reduce_min %x {axes = []} : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @reduce_min(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.reduce_min %x {axes = []} : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @reduce_prod(
// CHECK-NEXT: %y = graph.reduce_prod %x {axes = [0]} : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<4x?xf32, #sym.dims<[4, seq], seq in [1, 256]>>
func.func @reduce_prod(%x: !batch_4_seq_f32) -> tensor<4x?xf32, #sym.dims<[4, seq], seq in [1, 256]>> {
  %y = graph.reduce_prod %x {axes = [0]} : (!batch_4_seq_f32) -> tensor<4x?xf32, #sym.dims<[4, seq], seq in [1, 256]>>
  func.return %y : tensor<4x?xf32, #sym.dims<[4, seq], seq in [1, 256]>>
}

// CHECK-LABEL: func.func @argmax_1(
// CHECK-NEXT: %y = graph.argmax %x {axis = 2} : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x4xi64, #sym.dims<[batch, 4], batch in [1, 64]>>
func.func @argmax_1(%x: !batch_4_seq_f32) -> tensor<?x4xi64, #sym.dims<[batch, 4], batch in [1, 64]>> {
  %y = graph.argmax %x {axis = 2} : (!batch_4_seq_f32) -> tensor<?x4xi64, #sym.dims<[batch, 4], batch in [1, 64]>>
  func.return %y : tensor<?x4xi64, #sym.dims<[batch, 4], batch in [1, 64]>>
}

// CHECK-LABEL: func.func @argmax_2(
// CHECK-NEXT: %y = graph.argmax %x {axis = 1, keepdims} : (tensor<?x4x?xi32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x1x?xi64, #sym.dims<[batch, 1, seq], batch in [1, 64], seq in [1, 256]>>
func.func @argmax_2(%x: tensor<?x4x?xi32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x1x?xi64, #sym.dims<[batch, 1, seq], batch in [1, 64], seq in [1, 256]>> {
  %y = graph.argmax %x {axis = 1, keepdims} : (tensor<?x4x?xi32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x1x?xi64, #sym.dims<[batch, 1, seq], batch in [1, 64], seq in [1, 256]>>
  func.return %y : tensor<?x1x?xi64, #sym.dims<[batch, 1, seq], batch in [1, 64], seq in [1, 256]>>
}
