// RUN: ait-opt %s | ait-opt - | filecheck %s
// RUN: ait-opt %s --print-op-generic | ait-opt - | filecheck %s

!batch_4_seq_f32 = tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>
!batch_seq_f32 = tensor<?x?xf32, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>>
!batch_3_3xf32 = tensor<?x3xf32, #sym.dims<[batch, 3], batch in [1, 64]>>
!seq_batch_4_4xf32 = tensor<?x?x4xf32, #sym.dims<[seq, batch, 4], seq in [1, 256], batch in [1, 64]>>
!seq_f32 = tensor<?xf32, #sym.dims<[seq], seq in [1, 256]>>

// CHECK-LABEL: func.func @gather_1(
// CHECK-NEXT: %y = graph.gather %x, %indices {axis = 0} : (tensor<100x8xf32>, tensor<?x?xi64, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x?x8xf32, #sym.dims<[batch, seq, 8], batch in [1, 64], seq in [1, 256]>>
func.func @gather_1(%x: tensor<100x8xf32>, %indices: tensor<?x?xi64, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x?x8xf32, #sym.dims<[batch, seq, 8], batch in [1, 64], seq in [1, 256]>> {
  %y = graph.gather %x, %indices {axis = 0} : (tensor<100x8xf32>, tensor<?x?xi64, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x?x8xf32, #sym.dims<[batch, seq, 8], batch in [1, 64], seq in [1, 256]>>
  func.return %y : tensor<?x?x8xf32, #sym.dims<[batch, seq, 8], batch in [1, 64], seq in [1, 256]>>
}

// CHECK-LABEL: func.func @gather_2(
// CHECK-NEXT: %y = graph.gather %x, %indices {axis = 1} : (tensor<3x4xf32>, tensor<i32>) -> tensor<3xf32>
func.func @gather_2(%x: tensor<3x4xf32>, %indices: tensor<i32>) -> tensor<3xf32> {
  %y = graph.gather %x, %indices {axis = 1} : (tensor<3x4xf32>, tensor<i32>) -> tensor<3xf32>
  func.return %y : tensor<3xf32>
}

// CHECK-LABEL: func.func @concat(
// CHECK-NEXT: %y = graph.concat %inputs0, %inputs1, %inputs2 {axis = 2} : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>, tensor<?x4x3xf32, #sym.dims<[batch, 4, 3], batch in [1, 64]>>, tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq * 2 + 3], batch in [1, 64], seq in [1, 256]>>
func.func @concat(%inputs0: !batch_4_seq_f32, %inputs1: tensor<?x4x3xf32, #sym.dims<[batch, 4, 3], batch in [1, 64]>>, %inputs2: !batch_4_seq_f32) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq * 2 + 3], batch in [1, 64], seq in [1, 256]>> {
  %y = graph.concat %inputs0, %inputs1, %inputs2 {axis = 2} : (!batch_4_seq_f32, tensor<?x4x3xf32, #sym.dims<[batch, 4, 3], batch in [1, 64]>>, !batch_4_seq_f32) -> tensor<?x4x?xf32, #sym.dims<[batch, 4, seq * 2 + 3], batch in [1, 64], seq in [1, 256]>>
  func.return %y : tensor<?x4x?xf32, #sym.dims<[batch, 4, seq * 2 + 3], batch in [1, 64], seq in [1, 256]>>
}

// CHECK-LABEL: func.func @split_1(
// CHECK-NEXT: %y0, %y1, %y2 = graph.split %x {axis = 1} : (tensor<?x?xf32, #sym.dims<[batch, seq * 2 + 3], batch in [1, 64], seq in [1, 256]>>) -> (tensor<?x?xf32, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>>, tensor<?x3xf32, #sym.dims<[batch, 3], batch in [1, 64]>>, tensor<?x?xf32, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>>)
func.func @split_1(%x: tensor<?x?xf32, #sym.dims<[batch, seq * 2 + 3], batch in [1, 64], seq in [1, 256]>>) -> (!batch_seq_f32, !batch_3_3xf32, !batch_seq_f32) {
  %y0, %y1, %y2 = graph.split %x {axis = 1} : (tensor<?x?xf32, #sym.dims<[batch, seq * 2 + 3], batch in [1, 64], seq in [1, 256]>>) -> (!batch_seq_f32, !batch_3_3xf32, !batch_seq_f32)
  func.return %y0, %y1, %y2 : !batch_seq_f32, !batch_3_3xf32, !batch_seq_f32
}

// CHECK-LABEL: func.func @split_2(
// CHECK-NEXT: %y = graph.split %x {axis = 0} : tensor<4xf32>
func.func @split_2(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = graph.split %x {axis = 0} : tensor<4xf32>
  func.return %y : tensor<4xf32>
}

// CHECK-LABEL: func.func @slice_1(
// CHECK-NEXT: %y = graph.slice %x {offsets = [0, 1], steps = [1, 1]} : (tensor<?x3xf32, #sym.dims<[batch, 3], batch in [1, 64]>>) -> tensor<?x2xf32, #sym.dims<[batch, 2], batch in [1, 64]>>
func.func @slice_1(%x: !batch_3_3xf32) -> tensor<?x2xf32, #sym.dims<[batch, 2], batch in [1, 64]>> {
  %y = graph.slice %x {offsets = [0, 1], steps = [1, 1]} : (!batch_3_3xf32) -> tensor<?x2xf32, #sym.dims<[batch, 2], batch in [1, 64]>>
  func.return %y : tensor<?x2xf32, #sym.dims<[batch, 2], batch in [1, 64]>>
}

// CHECK-LABEL: func.func @slice_2(
// CHECK-NEXT: %y = graph.slice %x {offsets = #sym.dims<[0, batch - 1, 3], batch in [1, 64]>, steps = [2, -1, -2]} : (tensor<?x?x4xf32, #sym.dims<[seq, batch, 4], seq in [1, 256], batch in [1, 64]>>) -> tensor<?x?x2xf32, #sym.dims<[((seq + 1) floordiv (2)), batch, 2], seq in [1, 256], batch in [1, 64]>>
func.func @slice_2(%x: !seq_batch_4_4xf32) -> tensor<?x?x2xf32, #sym.dims<[((seq + 1) floordiv (2)), batch, 2], seq in [1, 256], batch in [1, 64]>> {
  %y = graph.slice %x {offsets = #sym.dims<[0, batch - 1, 3], batch in [1, 64]>, steps = [2, -1, -2]} : (!seq_batch_4_4xf32) -> tensor<?x?x2xf32, #sym.dims<[((seq + 1) floordiv (2)), batch, 2], seq in [1, 256], batch in [1, 64]>>
  func.return %y : tensor<?x?x2xf32, #sym.dims<[((seq + 1) floordiv (2)), batch, 2], seq in [1, 256], batch in [1, 64]>>
}

// CHECK-LABEL: func.func @slice_3(
// CHECK-NEXT: %y = graph.slice %x {offsets = #sym.dims<[seq - 1], seq in [1, 256]>, steps = [1]} : (tensor<?xf32, #sym.dims<[seq], seq in [1, 256]>>) -> tensor<1xf32>
func.func @slice_3(%x: !seq_f32) -> tensor<1xf32> {
  %y = graph.slice %x {offsets = #sym.dims<[seq - 1], seq in [1, 256]>, steps = [1]} : (!seq_f32) -> tensor<1xf32>
  func.return %y : tensor<1xf32>
}

// CHECK-LABEL: func.func @slice_4(
// CHECK-NEXT: %y = graph.slice %x {offsets = [0], steps = [1]} : (tensor<512xf32>) -> tensor<?xf32, #sym.dims<[seq], seq in [1, 256]>>
func.func @slice_4(%x: tensor<512xf32>) -> !seq_f32 {
  %y = graph.slice %x {offsets = [0], steps = [1]} : (tensor<512xf32>) -> !seq_f32
  func.return %y : !seq_f32
}

// CHECK-LABEL: func.func @reshape_1(
// CHECK-NEXT: %y = graph.reshape %x : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x2x2xf32, #sym.dims<[batch * seq, 2, 2], batch in [1, 64], seq in [1, 256]>>
func.func @reshape_1(%x: !batch_4_seq_f32) -> tensor<?x2x2xf32, #sym.dims<[batch * seq, 2, 2], batch in [1, 64], seq in [1, 256]>> {
  %y = graph.reshape %x : (!batch_4_seq_f32) -> tensor<?x2x2xf32, #sym.dims<[batch * seq, 2, 2], batch in [1, 64], seq in [1, 256]>>
  func.return %y : tensor<?x2x2xf32, #sym.dims<[batch * seq, 2, 2], batch in [1, 64], seq in [1, 256]>>
}

// CHECK-LABEL: func.func @reshape_2(
// CHECK-NEXT: %y = graph.reshape %x : (tensor<1x1xf32>) -> tensor<f32>
func.func @reshape_2(%x: tensor<1x1xf32>) -> tensor<f32> {
  %y = graph.reshape %x : (tensor<1x1xf32>) -> tensor<f32>
  func.return %y : tensor<f32>
}

// CHECK-LABEL: func.func @permute(
// CHECK-NEXT: %y = graph.permute %x {permutation = [2, 0, 1]} : (tensor<?x4x?xf32, #sym.dims<[batch, 4, seq], batch in [1, 64], seq in [1, 256]>>) -> tensor<?x?x4xf32, #sym.dims<[seq, batch, 4], seq in [1, 256], batch in [1, 64]>>
func.func @permute(%x: !batch_4_seq_f32) -> !seq_batch_4_4xf32 {
  %y = graph.permute %x {permutation = [2, 0, 1]} : (!batch_4_seq_f32) -> !seq_batch_4_4xf32
  func.return %y : !seq_batch_4_4xf32
}

// CHECK-LABEL: func.func @expand(
// CHECK-NEXT: %y = graph.expand %x : (tensor<?x1xf32, #sym.dims<[seq, 1], seq in [1, 256]>>) -> tensor<?x?x4xf32, #sym.dims<[batch, seq, 4], batch in [1, 64], seq in [1, 256]>>
func.func @expand(%x: tensor<?x1xf32, #sym.dims<[seq, 1], seq in [1, 256]>>) -> tensor<?x?x4xf32, #sym.dims<[batch, seq, 4], batch in [1, 64], seq in [1, 256]>> {
  %y = graph.expand %x : (tensor<?x1xf32, #sym.dims<[seq, 1], seq in [1, 256]>>) -> tensor<?x?x4xf32, #sym.dims<[batch, seq, 4], batch in [1, 64], seq in [1, 256]>>
  func.return %y : tensor<?x?x4xf32, #sym.dims<[batch, seq, 4], batch in [1, 64], seq in [1, 256]>>
}

// CHECK-LABEL: func.func @pad_1(
// CHECK-NEXT: %y = graph.pad %x {low = [0, 1], high = [2, 3], value = -1.5} : (tensor<?x4xf32, #sym.dims<[batch, 4], batch in [1, 64]>>) -> tensor<?x8xf32, #sym.dims<[batch + 2, 8], batch in [1, 64]>>
func.func @pad_1(%x: tensor<?x4xf32, #sym.dims<[batch, 4], batch in [1, 64]>>) -> tensor<?x8xf32, #sym.dims<[batch + 2, 8], batch in [1, 64]>> {
  %y = graph.pad %x {low = [0, 1], high = [2, 3], value = -1.5} : (tensor<?x4xf32, #sym.dims<[batch, 4], batch in [1, 64]>>) -> tensor<?x8xf32, #sym.dims<[batch + 2, 8], batch in [1, 64]>>
  func.return %y : tensor<?x8xf32, #sym.dims<[batch + 2, 8], batch in [1, 64]>>
}

// CHECK-LABEL: func.func @pad_2(
// CHECK-NEXT: %y = graph.pad %x {low = [1], high = [0], value = 1} : (tensor<?xi1, #sym.dims<[seq], seq in [1, 256]>>) -> tensor<?xi1, #sym.dims<[seq + 1], seq in [1, 256]>>
func.func @pad_2(%x: tensor<?xi1, #sym.dims<[seq], seq in [1, 256]>>) -> tensor<?xi1, #sym.dims<[seq + 1], seq in [1, 256]>> {
  %y = graph.pad %x {low = [1], high = [0], value = 1} : (tensor<?xi1, #sym.dims<[seq], seq in [1, 256]>>) -> tensor<?xi1, #sym.dims<[seq + 1], seq in [1, 256]>>
  func.return %y : tensor<?xi1, #sym.dims<[seq + 1], seq in [1, 256]>>
}
