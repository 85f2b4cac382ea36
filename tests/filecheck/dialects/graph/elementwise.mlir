// RUN: ait-opt %s | ait-opt - | filecheck %s
// RUN: ait-opt %s --print-op-generic | ait-opt - | filecheck %s

!batch_4_seq_f32 = tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
!batch_4_seq_i1 = tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
!batch_4_seq_i8 = tensor<?x4x?xi8, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
!batch_4_seq_bf16 = tensor<?x4x?xbf16, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>

// CHECK-LABEL: func.func @neg(
// CHECK-NEXT: %y = graph.neg %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @neg(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.neg %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @abs(
// CHECK-NEXT: %y = graph.abs %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @abs(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.abs %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @exp(
// CHECK-NEXT: %y = graph.exp %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @exp(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.exp %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @log(
// CHECK-NEXT: %y = graph.log %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @log(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.log %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @tanh(
// CHECK-NEXT: %y = graph.tanh %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @tanh(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.tanh %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @erf(
// CHECK-NEXT: %y = graph.erf %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @erf(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.erf %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @sigmoid(
// CHECK-NEXT: %y = graph.sigmoid %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @sigmoid(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.sigmoid %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @sqrt(
// CHECK-NEXT: %y = graph.sqrt %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @sqrt(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.sqrt %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @rsqrt(
// CHECK-NEXT: %y = graph.rsqrt %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @rsqrt(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.rsqrt %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @reciprocal(
// CHECK-NEXT: %y = graph.reciprocal %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @reciprocal(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.reciprocal %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @floor(
// CHECK-NEXT: %y = graph.floor %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @floor(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.floor %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @ceil(
// CHECK-NEXT: %y = graph.ceil %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @ceil(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.ceil %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @sin(
// CHECK-NEXT: %y = graph.sin %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @sin(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.sin %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @cos(
// CHECK-NEXT: %y = graph.cos %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @cos(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.cos %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @relu(
// CHECK-NEXT: %y = graph.relu %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @relu(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.relu %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @gelu_1(
// CHECK-NEXT: %y = graph.gelu %x {approximate = "none"} : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @gelu_1(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.gelu %x {approximate = "none"} : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @silu(
// CHECK-NEXT: %y = graph.silu %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @silu(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.silu %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @hardswish(
// CHECK-NEXT: %y = graph.hardswish %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @hardswish(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.hardswish %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @hardsigmoid(
// CHECK-NEXT: %y = graph.hardsigmoid %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @hardsigmoid(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.hardsigmoid %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @leaky_relu(
// CHECK-NEXT: %y = graph.leaky_relu %x {negative_slope = 0.01} : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @leaky_relu(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.leaky_relu %x {negative_slope = 0.01} : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @elu(
// CHECK-NEXT: %y = graph.elu %x {alpha = 1.0} : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @elu(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.elu %x {alpha = 1.0} : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @softplus(
// CHECK-NEXT: %y = graph.softplus %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @softplus(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.softplus %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @logical_not(
// CHECK-NEXT: %y = graph.logical_not %x : tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @logical_not(%x: !batch_4_seq_i1) -> !batch_4_seq_i1 {
  %y = graph.logical_not %x : !batch_4_seq_i1
  func.return %y : !batch_4_seq_i1
}

// CHECK-LABEL: func.func @cast_1(
// CHECK-NEXT: %y = graph.cast %x : (tensor<?x4x?xi32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x4x?xf16, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @cast_1(%x: tensor<?x4x?xi32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x4x?xf16, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>> {
  %y = graph.cast %x : (tensor<?x4x?xi32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x4x?xf16, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
  func.return %y : tensor<?x4x?xf16, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
}

// CHECK-LABEL: func.func @cast_2(
// CHECK-NEXT: %y = graph.cast %x : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @cast_2(%x: !batch_4_seq_f32) -> !batch_4_seq_i1 {
  %y = graph.cast %x : (!batch_4_seq_f32) -> !batch_4_seq_i1
  func.return %y : !batch_4_seq_i1
}

// CHECK-LABEL: func.func @cast_3(
// CHECK-NEXT: %y = graph.cast %x : (tensor<4xf32>) -> tensor<4xf8E4M3FN>
func.func @cast_3(%x: tensor<4xf32>) -> tensor<4xf8E4M3FN> {
  %y = graph.cast %x : (tensor<4xf32>) -> tensor<4xf8E4M3FN>
  func.return %y : tensor<4xf8E4M3FN>
}

// CHECK-LABEL: func.func @clamp_1(
// CHECK-NEXT: %y = graph.clamp %x {min = 0.5} : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @clamp_1(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.clamp %x {min = 0.5} : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @clamp_2(
// CHECK-NEXT: %y = graph.clamp %x {max = 0x7ff0000000000000 : f64} : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @clamp_2(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.clamp %x {max = 0x7ff0000000000000 : f64} : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @clamp_3(
// CHECK-NEXT: %y = graph.clamp %x {min = -3, max = 6} : tensor<?x4x?xi8, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @clamp_3(%x: !batch_4_seq_i8) -> !batch_4_seq_i8 {
  %y = graph.clamp %x {min = -3, max = 6} : !batch_4_seq_i8
  func.return %y : !batch_4_seq_i8
}

// CHECK-LABEL: func.func @clamp_4(
// CHECK-NEXT: %y = graph.clamp %x : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @clamp_4(%x: !batch_4_seq_f32) -> !batch_4_seq_f32 {
  %y = graph.clamp %x : !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @gelu_2(
// CHECK-NEXT: %y = graph.gelu %x {approximate = "tanh"} : tensor<?x4x?xbf16, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @gelu_2(%x: !batch_4_seq_bf16) -> !batch_4_seq_bf16 {
  %y = graph.gelu %x {approximate = "tanh"} : !batch_4_seq_bf16
  func.return %y : !batch_4_seq_bf16
}

// CHECK-LABEL: func.func @add(
// CHECK-NEXT: %y = graph.add %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @add(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_f32 {
  %y = graph.add %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @sub(
// CHECK-NEXT: %y = graph.sub %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @sub(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_f32 {
  %y = graph.sub %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @mul(
// CHECK-NEXT: %y = graph.mul %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @mul(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_f32 {
  %y = graph.mul %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @div(
// CHECK-NEXT: %y = graph.div %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @div(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_f32 {
  %y = graph.div %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @pow(
// CHECK-NEXT: %y = graph.pow %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @pow(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_f32 {
  %y = graph.pow %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @maximum(
// CHECK-NEXT: %y = graph.maximum %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @maximum(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_f32 {
  %y = graph.maximum %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @minimum(
// CHECK-NEXT: %y = graph.minimum %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @minimum(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_f32 {
  %y = graph.minimum %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @floor_divide(
// CHECK-NEXT: %y = graph.floor_divide %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @floor_divide(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_f32 {
  %y = graph.floor_divide %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @remainder(
// CHECK-NEXT: %y = graph.remainder %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @remainder(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_f32 {
  %y = graph.remainder %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}

// CHECK-LABEL: func.func @logical_and(
// CHECK-NEXT: %y = graph.logical_and %lhs, %rhs : (tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xi1>) -> tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @logical_and(%lhs: !batch_4_seq_i1, %rhs: tensor<4x1xi1>) -> !batch_4_seq_i1 {
  %y = graph.logical_and %lhs, %rhs : (!batch_4_seq_i1, tensor<4x1xi1>) -> !batch_4_seq_i1
  func.return %y : !batch_4_seq_i1
}

// CHECK-LABEL: func.func @logical_or(
// CHECK-NEXT: %y = graph.logical_or %lhs, %rhs : (tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xi1>) -> tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @logical_or(%lhs: !batch_4_seq_i1, %rhs: tensor<4x1xi1>) -> !batch_4_seq_i1 {
  %y = graph.logical_or %lhs, %rhs : (!batch_4_seq_i1, tensor<4x1xi1>) -> !batch_4_seq_i1
  func.return %y : !batch_4_seq_i1
}

// CHECK-LABEL: func.func @logical_xor(
// CHECK-NEXT: %y = graph.logical_xor %lhs, %rhs : (tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xi1>) -> tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @logical_xor(%lhs: !batch_4_seq_i1, %rhs: tensor<4x1xi1>) -> !batch_4_seq_i1 {
  %y = graph.logical_xor %lhs, %rhs : (!batch_4_seq_i1, tensor<4x1xi1>) -> !batch_4_seq_i1
  func.return %y : !batch_4_seq_i1
}

// CHECK-LABEL: func.func @equal(
// CHECK-NEXT: %y = graph.equal %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @equal(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_i1 {
  %y = graph.equal %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_i1
  func.return %y : !batch_4_seq_i1
}

// CHECK-LABEL: func.func @not_equal(
// CHECK-NEXT: %y = graph.not_equal %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @not_equal(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_i1 {
  %y = graph.not_equal %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_i1
  func.return %y : !batch_4_seq_i1
}

// CHECK-LABEL: func.func @less(
// CHECK-NEXT: %y = graph.less %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @less(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_i1 {
  %y = graph.less %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_i1
  func.return %y : !batch_4_seq_i1
}

// CHECK-LABEL: func.func @less_equal(
// CHECK-NEXT: %y = graph.less_equal %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @less_equal(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_i1 {
  %y = graph.less_equal %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_i1
  func.return %y : !batch_4_seq_i1
}

// CHECK-LABEL: func.func @greater(
// CHECK-NEXT: %y = graph.greater %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @greater(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_i1 {
  %y = graph.greater %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_i1
  func.return %y : !batch_4_seq_i1
}

// CHECK-LABEL: func.func @greater_equal(
// CHECK-NEXT: %y = graph.greater_equal %lhs, %rhs : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<4x1xf32>) -> tensor<?x4x?xi1, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @greater_equal(%lhs: !batch_4_seq_f32, %rhs: tensor<4x1xf32>) -> !batch_4_seq_i1 {
  %y = graph.greater_equal %lhs, %rhs : (!batch_4_seq_f32, tensor<4x1xf32>) -> !batch_4_seq_i1
  func.return %y : !batch_4_seq_i1
}

// CHECK-LABEL: func.func @select(
// CHECK-NEXT: %y = graph.select %condition, %a, %b : (tensor<4x?xi1, #sym.dims<[4, seq], seq in [1, 256]>>, tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<f32>) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
func.func @select(%condition: tensor<4x?xi1, #sym.dims<[4, seq], seq in [1, 256]>>, %a: !batch_4_seq_f32, %b: tensor<f32>) -> !batch_4_seq_f32 {
  %y = graph.select %condition, %a, %b : (tensor<4x?xi1, #sym.dims<[4, seq], seq in [1, 256]>>, !batch_4_seq_f32, tensor<f32>) -> !batch_4_seq_f32
  func.return %y : !batch_4_seq_f32
}
