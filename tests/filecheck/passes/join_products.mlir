// RUN: ait-opt %s -p join-products --remarks 2>&1 | filecheck %s

// CHECK: remark: graph.add (cell): graph.linear (input) and graph.linear (state) are one product of joined factors
// CHECK: remark: graph.add (inputs): graph.linear and graph.linear are not one product: {{.*}} us saved, {{.*}} us to copy factors side by side

// The kernels that compute the factors can write them side by side.
// CHECK-LABEL: @linears
// CHECK-NEXT:    %[[A:.*]] = graph.tanh %x
// CHECK-NEXT:    %[[B:.*]] = graph.exp %h
// CHECK-NEXT:    %[[X:.*]] = graph.concat %[[A]], %[[B]] {axis = 1, {{.*}}} : (tensor<64x32xf16>, tensor<64x96xf16>) -> tensor<64x128xf16>
// CHECK-NEXT:    %[[W:.*]] = graph.concat %u, %v {axis = 1, {{.*}}} : (tensor<8x32xf16>, tensor<8x96xf16>) -> tensor<8x128xf16>
// CHECK-NEXT:    %[[C:.*]] = graph.add %b, %c
// CHECK-NEXT:    %[[Y:.*]] = graph.linear %[[X]], %[[W]], %[[C]]
// CHECK-NEXT:    func.return %[[Y]]
func.func @linears(%x: tensor<64x32xf16>, %h: tensor<64x96xf16>, %u: tensor<8x32xf16>, %v: tensor<8x96xf16>, %b: tensor<8xf16>, %c: tensor<8xf16>) -> tensor<64x8xf16> {
  %0 = graph.tanh %x : tensor<64x32xf16>
  %1 = graph.linear %0, %u, %b {source = "input"} : (tensor<64x32xf16>, tensor<8x32xf16>, tensor<8xf16>) -> tensor<64x8xf16>
  %2 = graph.exp %h : tensor<64x96xf16>
  %3 = graph.linear %2, %v, %c {source = "state"} : (tensor<64x96xf16>, tensor<8x96xf16>, tensor<8xf16>) -> tensor<64x8xf16>
  %4 = graph.add %1, %3 {source = "cell"} : tensor<64x8xf16>
  func.return %4 : tensor<64x8xf16>
}

// A shortcut that skips pixels: what it reads is a slice. One bias is the bias of both.
// CHECK-LABEL: @shortcut
// CHECK-NEXT:    %[[H:.*]] = graph.relu %h
// CHECK-NEXT:    %[[S:.*]] = graph.slice %x {{.*}}steps = [1, 2, 2, 1]{{.*}} : (tensor<64x14x14x64xf16>) -> tensor<64x7x7x64xf16>
// CHECK-NEXT:    %[[X:.*]] = graph.concat %[[H]], %[[S]] {axis = 3} : {{.*}} -> tensor<64x7x7x96xf16>
// CHECK-NEXT:    %[[W:.*]] = graph.concat %u, %v {axis = 3} : {{.*}} -> tensor<256x1x1x96xf16>
// CHECK-NEXT:    graph.conv2d %[[X]], %[[W]], %b {strides = [1, 1], {{.*}}layout = "nhwc"}
func.func @shortcut(%x: tensor<64x14x14x64xf16>, %h: tensor<64x7x7x32xf16>, %u: tensor<256x1x1x32xf16>, %v: tensor<256x1x1x64xf16>, %b: tensor<256xf16>) -> tensor<64x7x7x256xf16> {
  %0 = graph.relu %h : tensor<64x7x7x32xf16>
  %1 = graph.conv2d %0, %u {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<64x7x7x32xf16>, tensor<256x1x1x32xf16>) -> tensor<64x7x7x256xf16>
  %2 = graph.conv2d %x, %v, %b {strides = [2, 2], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<64x14x14x64xf16>, tensor<256x1x1x64xf16>, tensor<256xf16>) -> tensor<64x7x7x256xf16>
  %3 = graph.add %1, %2 : tensor<64x7x7x256xf16>
  func.return %3 : tensor<64x7x7x256xf16>
}

// Inputs would be copied, which costs more than the result saves. Products of one factor, products
// that something else reads, and windows stay as well.
// CHECK-LABEL: @kept
// CHECK-NOT:     graph.concat
// CHECK:         func.return
func.func @kept(%x: tensor<4096x1024xf16>, %h: tensor<4096x1024xf16>, %u: tensor<8x1024xf16>, %i: tensor<2x4x4x8xf16>, %j: tensor<2x4x4x8xf16>, %w: tensor<8x3x3x8xf16>) -> (tensor<4096x8xf16>, tensor<4096x8xf16>, tensor<4096x8xf16>, tensor<4096x8xf16>, tensor<2x4x4x8xf16>) {
  %0 = graph.linear %x, %u : (tensor<4096x1024xf16>, tensor<8x1024xf16>) -> tensor<4096x8xf16>
  %1 = graph.linear %h, %u : (tensor<4096x1024xf16>, tensor<8x1024xf16>) -> tensor<4096x8xf16>
  %2 = graph.add %0, %1 {source = "inputs"} : tensor<4096x8xf16>
  %3 = graph.tanh %x : tensor<4096x1024xf16>
  %4 = graph.linear %3, %u : (tensor<4096x1024xf16>, tensor<8x1024xf16>) -> tensor<4096x8xf16>
  %5 = graph.linear %3, %u : (tensor<4096x1024xf16>, tensor<8x1024xf16>) -> tensor<4096x8xf16>
  %6 = graph.add %4, %5 : tensor<4096x8xf16>
  %7 = graph.exp %h : tensor<4096x1024xf16>
  %8 = graph.linear %7, %u : (tensor<4096x1024xf16>, tensor<8x1024xf16>) -> tensor<4096x8xf16>
  %9 = graph.linear %3, %u : (tensor<4096x1024xf16>, tensor<8x1024xf16>) -> tensor<4096x8xf16>
  %10 = graph.add %8, %9 : tensor<4096x8xf16>
  %11 = graph.relu %i : tensor<2x4x4x8xf16>
  %12 = graph.relu %j : tensor<2x4x4x8xf16>
  %13 = graph.conv2d %11, %w {strides = [1, 1], padding = [1, 1, 1, 1], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<2x4x4x8xf16>, tensor<8x3x3x8xf16>) -> tensor<2x4x4x8xf16>
  %14 = graph.conv2d %12, %w {strides = [1, 1], padding = [1, 1, 1, 1], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<2x4x4x8xf16>, tensor<8x3x3x8xf16>) -> tensor<2x4x4x8xf16>
  %15 = graph.add %13, %14 : tensor<2x4x4x8xf16>
  func.return %2, %6, %10, %9, %15 : tensor<4096x8xf16>, tensor<4096x8xf16>, tensor<4096x8xf16>, tensor<4096x8xf16>, tensor<2x4x4x8xf16>
}
