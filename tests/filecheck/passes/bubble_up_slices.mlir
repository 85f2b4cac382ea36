// RUN: ait-opt %s -p bubble-up-slices --remarks 2>&1 | filecheck %s

// CHECK: remark: graph.layer_norm (norm): only [4, 1, 64] of [4, 9, 64] are needed

// The first token is cut out of what the layers read, which both branches of the sum have in common.
// CHECK-LABEL: @first_token
// CHECK-NEXT:    %[[X:.*]] = graph.slice %x {offsets = [0, 0, 0], steps = [1, 1, 1]} : (tensor<4x9x64xf32>) -> tensor<4x1x64xf32>
// CHECK-NEXT:    %[[T:.*]] = graph.tanh %[[X]] : tensor<4x1x64xf32>
// CHECK-NEXT:    %[[H:.*]] = graph.linear %[[T]], %w : (tensor<4x1x64xf32>, tensor<64x64xf32>) -> tensor<4x1x64xf32>
// CHECK-NEXT:    %[[G:.*]] = graph.gelu %[[H]]
// CHECK-NEXT:    %[[Y:.*]] = graph.add %[[T]], %[[G]]
// CHECK-NEXT:    %[[N:.*]] = graph.layer_norm %[[Y]], %s
// CHECK-NEXT:    func.return %[[N]] : tensor<4x1x64xf32>
func.func @first_token(%x: tensor<4x9x64xf32>, %w: tensor<64x64xf32>, %s: tensor<64xf32>) -> tensor<4x1x64xf32> {
  %0 = graph.tanh %x : tensor<4x9x64xf32>
  %1 = graph.linear %0, %w : (tensor<4x9x64xf32>, tensor<64x64xf32>) -> tensor<4x9x64xf32>
  %2 = graph.gelu %1 {approximate = "none"} : tensor<4x9x64xf32>
  %3 = graph.add %0, %2 : tensor<4x9x64xf32>
  %4 = graph.layer_norm %3, %s {axes_rank = 1, eps = 1.0e-06, source = "norm"} : (tensor<4x9x64xf32>, tensor<64xf32>) -> tensor<4x9x64xf32>
  %5 = graph.slice %4 {offsets = [0, 0, 0], steps = [1, 1, 1]} : (tensor<4x9x64xf32>) -> tensor<4x1x64xf32>
  func.return %5 : tensor<4x1x64xf32>
}

// Queries alone are cut: keys and values are needed whole. The mask is cut where it has queries.
// CHECK-LABEL: @attention
// CHECK-DAG:     %[[Q:.*]] = graph.slice %q {{.*}} : (tensor<2x4x9x8xf32>) -> tensor<2x4x1x8xf32>
// CHECK-DAG:     %[[M:.*]] = graph.slice %m {{.*}} : (tensor<9x9xf32>) -> tensor<1x9xf32>
// CHECK:         graph.attention %[[Q]], %k, %v, %[[M]] {{.*}} : (tensor<2x4x1x8xf32>, tensor<2x4x9x8xf32>, tensor<2x4x9x8xf32>, tensor<1x9xf32>) -> tensor<2x4x1x8xf32>
// CHECK-NEXT:    graph.permute {{.*}} -> tensor<2x1x4x8xf32>
// CHECK-NEXT:    graph.reshape {{.*}} -> tensor<2x1x32xf32>
func.func @attention(%q: tensor<2x4x9x8xf32>, %k: tensor<2x4x9x8xf32>, %v: tensor<2x4x9x8xf32>, %m: tensor<9x9xf32>) -> tensor<2x1x32xf32> {
  %0 = graph.attention %q, %k, %v, %m {scale = 0.5} : (tensor<2x4x9x8xf32>, tensor<2x4x9x8xf32>, tensor<2x4x9x8xf32>, tensor<9x9xf32>) -> tensor<2x4x9x8xf32>
  %1 = graph.permute %0 {permutation = [0, 2, 1, 3]} : (tensor<2x4x9x8xf32>) -> tensor<2x9x4x8xf32>
  %2 = graph.reshape %1 : (tensor<2x9x4x8xf32>) -> tensor<2x9x32xf32>
  %3 = graph.slice %2 {offsets = [0, 3, 0], steps = [1, 1, 1]} : (tensor<2x9x32xf32>) -> tensor<2x1x32xf32>
  func.return %3 : tensor<2x1x32xf32>
}

// Causal attention counts queries from the last one: any others would see too much.
// CHECK-LABEL: @causal
// CHECK:         graph.attention %{{.*}}, %k, %k {{.*}} : (tensor<2x4x1x8xf32>, tensor<2x4x9x8xf32>, tensor<2x4x9x8xf32>) -> tensor<2x4x1x8xf32>
// CHECK:         graph.attention %{{.*}}, %q, %q {{.*}} : tensor<2x4x9x8xf32>
func.func @causal(%q: tensor<2x4x9x8xf32>, %k: tensor<2x4x9x8xf32>) -> (tensor<2x4x1x8xf32>, tensor<2x4x1x8xf32>) {
  %0 = graph.attention %q, %k, %k {scale = 0.5, causal} : (tensor<2x4x9x8xf32>, tensor<2x4x9x8xf32>, tensor<2x4x9x8xf32>) -> tensor<2x4x9x8xf32>
  %1 = graph.slice %0 {offsets = [0, 0, 8, 0], steps = [1, 1, 1, 1]} : (tensor<2x4x9x8xf32>) -> tensor<2x4x1x8xf32>
  %2 = graph.attention %k, %q, %q {scale = 0.5, causal} : tensor<2x4x9x8xf32>
  %3 = graph.slice %2 {offsets = [0, 0, 7, 0], steps = [1, 1, 1, 1]} : (tensor<2x4x9x8xf32>) -> tensor<2x4x1x8xf32>
  func.return %1, %3 : tensor<2x4x1x8xf32>, tensor<2x4x1x8xf32>
}

// Two tokens are needed: what has both is computed. One piece of a concat is all that a slice needs.
// CHECK-LABEL: @two_tokens
// CHECK:         graph.slice %x {offsets = [0, 1, 0], steps = [1, 1, 1]} : (tensor<4x9x8xf32>) -> tensor<4x2x8xf32>
// CHECK-NEXT:    graph.exp {{.*}} : tensor<4x2x8xf32>
// CHECK-DAG:     %[[A:.*]] = graph.slice {{.*}} {offsets = [0, 0, 0], steps = [1, 1, 1]} : (tensor<4x2x8xf32>) -> tensor<4x1x8xf32>
// CHECK-DAG:     %[[B:.*]] = graph.slice {{.*}} {offsets = [0, 1, 0], steps = [1, 1, 1]} : (tensor<4x2x8xf32>) -> tensor<4x1x8xf32>
// CHECK:         func.return %[[A]], %[[B]]
func.func @two_tokens(%x: tensor<4x9x8xf32>, %c: tensor<4x2x8xf32>) -> (tensor<4x1x8xf32>, tensor<4x1x8xf32>) {
  %0 = graph.concat %c, %x {axis = 1} : (tensor<4x2x8xf32>, tensor<4x9x8xf32>) -> tensor<4x11x8xf32>
  %1 = graph.exp %0 : tensor<4x11x8xf32>
  %2 = graph.slice %1 {offsets = [0, 3, 0], steps = [1, 1, 1]} : (tensor<4x11x8xf32>) -> tensor<4x1x8xf32>
  %3 = graph.slice %1 {offsets = [0, 4, 0], steps = [1, 1, 1]} : (tensor<4x11x8xf32>) -> tensor<4x1x8xf32>
  func.return %2, %3 : tensor<4x1x8xf32>, tensor<4x1x8xf32>
}

// What is used elsewhere, or nearly all needed, is computed as it is; so is what needs the whole dim.
// CHECK-LABEL: @kept
// CHECK-NEXT:    graph.exp %x
// CHECK-NEXT:    graph.slice
// CHECK-NEXT:    graph.tanh %x
// CHECK-NEXT:    graph.slice
// CHECK-NEXT:    graph.softmax %x
// CHECK-NEXT:    graph.slice
func.func @kept(%x: tensor<4x9x8xf32>) -> (tensor<4x9x8xf32>, tensor<4x1x8xf32>, tensor<4x8x8xf32>, tensor<4x1x8xf32>) {
  %0 = graph.exp %x : tensor<4x9x8xf32>
  %1 = graph.slice %0 {offsets = [0, 0, 0], steps = [1, 1, 1]} : (tensor<4x9x8xf32>) -> tensor<4x1x8xf32>
  %2 = graph.tanh %x : tensor<4x9x8xf32>
  %3 = graph.slice %2 {offsets = [0, 1, 0], steps = [1, 1, 1]} : (tensor<4x9x8xf32>) -> tensor<4x8x8xf32>
  %4 = graph.softmax %x {axis = 1} : tensor<4x9x8xf32>
  %5 = graph.slice %4 {offsets = [0, 0, 0], steps = [1, 1, 1]} : (tensor<4x9x8xf32>) -> tensor<4x1x8xf32>
  func.return %0, %1, %3, %5 : tensor<4x9x8xf32>, tensor<4x1x8xf32>, tensor<4x8x8xf32>, tensor<4x1x8xf32>
}

// Code that the kernel of a product runs on its result stays there, unless the product is cut as well.
// CHECK-LABEL: @code
// CHECK-NEXT:    %[[L:.*]] = graph.linear %x, %w
// CHECK-NEXT:    %[[G:.*]] = graph.gelu %[[L]] {{.*}} : tensor<4x9x8xf32>
// CHECK-NEXT:    %[[A:.*]] = graph.add %[[G]], %x
// CHECK-NEXT:    graph.slice %[[A]]
func.func @code(%x: tensor<4x9x8xf32>, %w: tensor<8x8xf32>) -> tensor<4x9x2xf32> {
  %0 = graph.linear %x, %w : (tensor<4x9x8xf32>, tensor<8x8xf32>) -> tensor<4x9x8xf32>
  %1 = graph.gelu %0 {approximate = "none"} : tensor<4x9x8xf32>
  %2 = graph.add %1, %x : tensor<4x9x8xf32>
  %3 = graph.slice %2 {offsets = [0, 0, 2], steps = [1, 1, 1]} : (tensor<4x9x8xf32>) -> tensor<4x9x2xf32>
  func.return %3 : tensor<4x9x2xf32>
}

// The last of some tokens, at any length.
// CHECK-LABEL: @dynamic
// CHECK-NEXT:    graph.slice %x {offsets = #sym.dims<[0, n - 1, 0], n in [1, 64]>
// CHECK-NEXT:    graph.linear
func.func @dynamic(%x: tensor<4x?x8xf32, #sym.dims<[4, n, 8], n in [1, 64]>>, %w: tensor<8x8xf32>) -> tensor<4x1x8xf32> {
  %0 = graph.linear %x, %w : (tensor<4x?x8xf32, #sym.dims<[4, n, 8], n in [1, 64]>>, tensor<8x8xf32>) -> tensor<4x?x8xf32, #sym.dims<[4, n, 8], n in [1, 64]>>
  %1 = graph.slice %0 {offsets = #sym.dims<[0, n - 1, 0], n in [1, 64]>, steps = [1, 1, 1]} : (tensor<4x?x8xf32, #sym.dims<[4, n, 8], n in [1, 64]>>) -> tensor<4x1x8xf32>
  func.return %1 : tensor<4x1x8xf32>
}
