// RUN: ait-opt %s -p lower,fuse,legalize,align-operands --target cuda:sm_90a --remarks 2>&1 | filecheck %s

// CHECK: remark: kernel.conv (first): every pixel sees a patch of its own: a product over the channels
// CHECK: remark: kernel.conv (last): every pixel sees a patch of its own: a product over the channels
// CHECK: remark: kernel.conv (odd): every pixel sees a patch of its own: a product over the channels
// CHECK: remark: kernel.conv (stem): stays a convolution of patches: {{.*}} us expected of a product, {{.*}} us of a convolution
// CHECK: remark: kernel.gemm (first): reads operand 0 from a dense copy
// CHECK: remark: kernel.gemm (last): reads operand 0 from a dense copy
// CHECK: remark: kernel.gemm (odd): reads operand 0, operand 1 from a dense copy

graph.parameter @patch : tensor<768x3x16x16xf16>
graph.parameter @bias : tensor<768xf16>
graph.parameter @wide : tensor<1024x3x14x14xf16>
graph.parameter @small : tensor<96x3x4x4xf16>

// The patches are copied once, in pieces that are as long as in the image. The weights lie as they
// should, and the epilogue stays.
// CHECK-LABEL: @first
// CHECK:         %[[W:.*]] = graph.get_parameter @patch
// CHECK:         %[[P:.*]] = kernel.copy ins(%x <offset 0, sizes [64, 14, 14, 3, 16, 16], strides [150528, 3584, 16, 50176, 224, 1]> : tensor<64x3x224x224xf16>) outs(%{{.*}} <offset 0, sizes [64, 14, 14, 3, 16, 16], strides [150528, 10752, 768, 256, 16, 1]> : tensor<64x14x14x768xf16>)
// CHECK-NEXT:    kernel.gemm ins(%[[P]] <{{.*}}> : tensor<64x14x14x768xf16>, %[[W]] <offset 0, sizes [3, 16, 16, 768], strides [256, 16, 1, 768]> : tensor<768x3x16x16xf16>, %{{.*}} <offset 0, sizes [64, 14, 14, 768], strides [0, 0, 0, 1]> : tensor<768xf16>) {{.*}} {groups = array<i64: 0, 3, 1, 3>
// CHECK:           arith.maximumf
func.func @first(%x: tensor<64x3x224x224xf16>) -> tensor<64x14x14x768xf16> {
  %w = graph.get_parameter @patch : tensor<768x3x16x16xf16>
  %b = graph.get_parameter @bias : tensor<768xf16>
  %0 = graph.conv2d %x, %w, %b {strides = [16, 16], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw", source = "first"} : (tensor<64x3x224x224xf16>, tensor<768x3x16x16xf16>, tensor<768xf16>) -> tensor<64x768x14x14xf16>
  %1 = graph.relu %0 : tensor<64x768x14x14xf16>
  %2 = graph.permute %1 {permutation = [0, 2, 3, 1]} : (tensor<64x768x14x14xf16>) -> tensor<64x14x14x768xf16>
  func.return %2 : tensor<64x14x14x768xf16>
}

// Of an image that is channels-last, pieces are rows of pixels; the weights are stored in that order.
// The rest of the image that no patch has is not read.
// CHECK-LABEL: @last
// CHECK:         %[[W:.*]] = graph.get_parameter @patch.packed : tensor<768x16x16x3xf16>
// CHECK:         %[[P:.*]] = kernel.copy ins(%x <offset 0, sizes [64, 14, 14, 16, 16, 3], strides [{{.*}}, 11040, 48, 690, 3, 1]> : tensor<64x230x230x3xf16>) outs(%{{.*}} <offset 0, sizes [64, 14, 14, 16, 16, 3], strides [150528, 10752, 768, 48, 3, 1]> : tensor<64x14x14x768xf16>)
// CHECK-NEXT:    kernel.gemm ins(%[[P]] <{{.*}}> : tensor<64x14x14x768xf16>, %[[W]] <offset 0, sizes [16, 16, 3, 768], strides [48, 3, 1, 768]> : tensor<768x16x16x3xf16>)
func.func @last(%x: tensor<64x230x230x3xf16>) -> tensor<64x14x14x768xf16> {
  %w = graph.get_parameter @patch : tensor<768x3x16x16xf16>
  %v = graph.permute %w {permutation = [0, 2, 3, 1]} : (tensor<768x3x16x16xf16>) -> tensor<768x16x16x3xf16>
  %0 = graph.conv2d %x, %v {strides = [16, 16], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nhwc", source = "last"} : (tensor<64x230x230x3xf16>, tensor<768x16x16x3xf16>) -> tensor<64x14x14x768xf16>
  func.return %0 : tensor<64x14x14x768xf16>
}

// Rows of 588 elements are no multiple of 16 bytes: those of the copy and of the weights are padded.
// CHECK-LABEL: @odd
// CHECK:         %[[P:.*]] = kernel.copy {{.*}} outs({{.*}} : tensor<16x24x24x592xf16>)
// CHECK-NEXT:    %[[W:.*]] = graph.get_parameter @wide.aligned : tensor<1024x592xf16>
// CHECK:         kernel.gemm ins(%[[P]] <{{.*}}> : tensor<16x24x24x592xf16>, %[[W]] <offset 0, sizes [3, 14, 14, 1024], strides [196, 14, 1, 592]> : tensor<1024x592xf16>)
func.func @odd(%x: tensor<16x3x336x336xf16>) -> tensor<16x1024x24x24xf16> {
  %w = graph.get_parameter @wide : tensor<1024x3x14x14xf16>
  %0 = graph.conv2d %x, %w {strides = [14, 14], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw", source = "odd"} : (tensor<16x3x336x336xf16>, tensor<1024x3x14x14xf16>) -> tensor<16x1024x24x24xf16>
  func.return %0 : tensor<16x1024x24x24xf16>
}

// Where a kernel for convolutions is as good, there is no copy to pay for.
// CHECK-LABEL: @stem
// CHECK:         kernel.conv
func.func @stem(%x: tensor<64x3x224x224xf16>) -> tensor<64x96x56x56xf16> {
  %w = graph.get_parameter @small : tensor<96x3x4x4xf16>
  %0 = graph.conv2d %x, %w {strides = [4, 4], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw", source = "stem"} : (tensor<64x3x224x224xf16>, tensor<96x3x4x4xf16>) -> tensor<64x96x56x56xf16>
  func.return %0 : tensor<64x96x56x56xf16>
}

// CHECK-LABEL: @prepare
// CHECK-SAME:    ait.name = "patch.packed"
