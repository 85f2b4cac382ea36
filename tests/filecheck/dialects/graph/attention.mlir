// RUN: ait-opt %s | ait-opt - | filecheck %s
// RUN: ait-opt %s --print-op-generic | ait-opt - | filecheck %s

!batch_4_seq_16_16xf32 = tensor<?x4x?x16xf32, #sym.dims<[batch, 4, seq, 16], batch in [1, 64], seq in [1, 256]>>

// CHECK-LABEL: func.func @attention_1(
// CHECK-NEXT: %y = graph.attention %q, %k, %v {scale = 0.25} : (tensor<?x4x?x16xf32, #sym.dims<[batch, 4, seq, 16], batch in [1, 64], seq in [1, 256]>>, tensor<?x2x7x16xf32, #sym.dims<[batch, 2, 7, 16], batch in [1, 64]>>, tensor<?x2x7x8xf32, #sym.dims<[batch, 2, 7, 8], batch in [1, 64]>>) -> tensor<?x4x?x8xf32, #sym.dims<[batch, 4, seq, 8], batch in [1, 64], seq in [1, 256]>>
func.func @attention_1(%q: !batch_4_seq_16_16xf32, %k: tensor<?x2x7x16xf32, #sym.dims<[batch, 2, 7, 16], batch in [1, 64]>>, %v: tensor<?x2x7x8xf32, #sym.dims<[batch, 2, 7, 8], batch in [1, 64]>>) -> tensor<?x4x?x8xf32, #sym.dims<[batch, 4, seq, 8], batch in [1, 64], seq in [1, 256]>> {
  %y = graph.attention %q, %k, %v {scale = 0.25} : (!batch_4_seq_16_16xf32, tensor<?x2x7x16xf32, #sym.dims<[batch, 2, 7, 16], batch in [1, 64]>>, tensor<?x2x7x8xf32, #sym.dims<[batch, 2, 7, 8], batch in [1, 64]>>) -> tensor<?x4x?x8xf32, #sym.dims<[batch, 4, seq, 8], batch in [1, 64], seq in [1, 256]>>
  func.return %y : tensor<?x4x?x8xf32, #sym.dims<[batch, 4, seq, 8], batch in [1, 64], seq in [1, 256]>>
}

// CHECK-LABEL: func.func @attention_2(
// CHECK-NEXT: %y = graph.attention %q, %k, %v, %mask {scale = 0.5, causal} : (tensor<?x4x?x16xf32, #sym.dims<[batch, 4, seq, 16], batch in [1, 64], seq in [1, 256]>>, tensor<?x4x?x16xf32, #sym.dims<[batch, 4, seq, 16], batch in [1, 64], seq in [1, 256]>>, tensor<?x4x?x16xf32, #sym.dims<[batch, 4, seq, 16], batch in [1, 64], seq in [1, 256]>>, tensor<?x?xi1, #sym.dims<[seq, seq], seq in [1, 256]>>) -> tensor<?x4x?x16xf32, #sym.dims<[batch, 4, seq, 16], batch in [1, 64], seq in [1, 256]>>
func.func @attention_2(%q: !batch_4_seq_16_16xf32, %k: !batch_4_seq_16_16xf32, %v: !batch_4_seq_16_16xf32, %mask: tensor<?x?xi1, #sym.dims<[seq, seq], seq in [1, 256]>>) -> !batch_4_seq_16_16xf32 {
  %y = graph.attention %q, %k, %v, %mask {scale = 0.5, causal} : (!batch_4_seq_16_16xf32, !batch_4_seq_16_16xf32, !batch_4_seq_16_16xf32, tensor<?x?xi1, #sym.dims<[seq, seq], seq in [1, 256]>>) -> !batch_4_seq_16_16xf32
  func.return %y : !batch_4_seq_16_16xf32
}
