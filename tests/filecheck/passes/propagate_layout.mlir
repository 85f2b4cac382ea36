// RUN: ait-opt %s -p propagate-layout --verify-each | filecheck %s

// One permute in, one out; the residual and the activation run channels-last.
// CHECK-LABEL: @residual
// CHECK-NEXT:    %0 = graph.permute %x {permutation = [0, 2, 3, 1]}
// CHECK-NEXT:    %1 = graph.permute %w {permutation = [0, 2, 3, 1]}
// CHECK-NEXT:    %2 = graph.conv2d %0, %1 {{.*}}layout = "nhwc"
// CHECK-NEXT:    %3 = graph.relu %2 : tensor<1x8x8x4xf32>
// CHECK-NOT:     graph.permute %3
// CHECK:         graph.add {{.*}} : tensor<1x8x8x4xf32>
// CHECK-NEXT:    %[[Y:.*]] = graph.permute %{{.*}} {permutation = [0, 3, 1, 2]}
// CHECK-NEXT:    func.return %[[Y]]
func.func @residual(%x: tensor<1x4x8x8xf32>, %w: tensor<4x4x1x1xf32>) -> tensor<1x4x8x8xf32> {
  %0 = graph.conv2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x4x8x8xf32>, tensor<4x4x1x1xf32>) -> tensor<1x4x8x8xf32>
  %1 = graph.relu %0 : tensor<1x4x8x8xf32>
  %2 = graph.conv2d %1, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<1x4x8x8xf32>, tensor<4x4x1x1xf32>) -> tensor<1x4x8x8xf32>
  %3 = graph.add %2, %1 : tensor<1x4x8x8xf32>
  func.return %3 : tensor<1x4x8x8xf32>
}

// A mean over height and width needs no permute before it.
// CHECK-LABEL: @pooled
// CHECK:         %[[P:.*]] = graph.max_pool2d {{.*}}layout = "nhwc"
// CHECK-NEXT:    graph.reduce_mean %[[P]] {axes = [1, 2]
func.func @pooled(%x: tensor<1x4x8x8xf32>) -> tensor<1x4xf32> {
  %0 = graph.max_pool2d %x {kernel = [2, 2], strides = [2, 2], padding = [0, 0, 0, 0], dilations = [1, 1], layout = "nchw"} : (tensor<1x4x8x8xf32>) -> tensor<1x4x4x4xf32>
  %1 = graph.reduce_mean %0 {axes = [2, 3]} : (tensor<1x4x4x4xf32>) -> tensor<1x4xf32>
  func.return %1 : tensor<1x4xf32>
}

// The weights of a transposed convolution in groups, [c, o / groups, r, s], become those of a
// convolution.
// CHECK-LABEL: @transposed
// CHECK-NEXT:    %0 = graph.permute %x {permutation = [0, 2, 3, 1]}
// CHECK-NEXT:    %1 = graph.reshape %w : (tensor<6x4x3x3xf32>) -> tensor<2x3x4x3x3xf32>
// CHECK-NEXT:    %2 = graph.permute %1 {permutation = [0, 2, 3, 4, 1]}
// CHECK-NEXT:    %3 = graph.reshape %2 : (tensor<2x4x3x3x3xf32>) -> tensor<8x3x3x3xf32>
// CHECK-NEXT:    %4 = graph.conv_transpose2d %0, %3 {{.*}}groups = 2, layout = "nhwc"
// CHECK-NEXT:    %5 = graph.relu %4 : tensor<1x16x16x8xf32>
// CHECK-NEXT:    graph.permute %5 {permutation = [0, 3, 1, 2]}
func.func @transposed(%x: tensor<1x6x8x8xf32>, %w: tensor<6x4x3x3xf32>) -> tensor<1x8x16x16xf32> {
  %0 = graph.conv_transpose2d %x, %w {strides = [2, 2], padding = [1, 1, 1, 1], output_padding = [1, 1], dilations = [1, 1], groups = 2, layout = "nchw"} : (tensor<1x6x8x8xf32>, tensor<6x4x3x3xf32>) -> tensor<1x8x16x16xf32>
  %1 = graph.relu %0 : tensor<1x8x16x16xf32>
  func.return %1 : tensor<1x8x16x16xf32>
}

// A group norm runs channels-last as well, and so does what is added to each channel of each image.
// CHECK-LABEL: @group_norm
// CHECK:         %[[C:.*]] = graph.conv2d {{.*}}layout = "nhwc"
// CHECK-NEXT:    %[[T:.*]] = graph.reshape %t : (tensor<2x4x1x1xf32>) -> tensor<2x1x1x4xf32>
// CHECK-NEXT:    %[[A:.*]] = graph.add %[[C]], %[[T]] : (tensor<2x8x8x4xf32>, tensor<2x1x1x4xf32>) -> tensor<2x8x8x4xf32>
// CHECK-NEXT:    %[[N:.*]] = graph.group_norm %[[A]] {{.*}}layout = "nhwc"{{.*}} : tensor<2x8x8x4xf32>
// CHECK-NEXT:    graph.permute %[[N]] {permutation = [0, 3, 1, 2]}
func.func @group_norm(%x: tensor<2x4x8x8xf32>, %w: tensor<4x4x1x1xf32>, %t: tensor<2x4x1x1xf32>) -> tensor<2x4x8x8xf32> {
  %0 = graph.conv2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<2x4x8x8xf32>, tensor<4x4x1x1xf32>) -> tensor<2x4x8x8xf32>
  %1 = graph.add %0, %t : (tensor<2x4x8x8xf32>, tensor<2x4x1x1xf32>) -> tensor<2x4x8x8xf32>
  %2 = graph.group_norm %1 {num_groups = 2, eps = 1.0e-05, layout = "nchw"} : tensor<2x4x8x8xf32>
  func.return %2 : tensor<2x4x8x8xf32>
}

// Two dims that change places would be copied: the add stays. So does a norm of other groups.
// CHECK-LABEL: @not_sunk
// CHECK-NEXT:    %0 = graph.permute %x {permutation = [0, 2, 1, 3]}
// CHECK-NEXT:    %1 = graph.add %0, %t
// CHECK-NEXT:    %2 = graph.group_norm %0 {{.*}}layout = "nchw"
// CHECK-NEXT:    func.return %1, %2
func.func @not_sunk(%x: tensor<2x4x6x8xf32>, %t: tensor<6x4x1xf32>) -> (tensor<2x6x4x8xf32>, tensor<2x6x4x8xf32>) {
  %0 = graph.permute %x {permutation = [0, 2, 1, 3]} : (tensor<2x4x6x8xf32>) -> tensor<2x6x4x8xf32>
  %1 = graph.add %0, %t : (tensor<2x6x4x8xf32>, tensor<6x4x1xf32>) -> tensor<2x6x4x8xf32>
  %2 = graph.group_norm %0 {num_groups = 2, eps = 1.0e-05, layout = "nchw"} : tensor<2x6x4x8xf32>
  func.return %1, %2 : tensor<2x6x4x8xf32>, tensor<2x6x4x8xf32>
}

// A permute that one operand lets pass and the next does not stays, and leaves nothing behind.
// CHECK-LABEL: @stopped
// CHECK:         graph.conv2d
// CHECK-NEXT:    %[[BACK:.*]] = graph.permute
// CHECK:         graph.select %{{.*}}, %[[BACK]], %y
func.func @stopped(%d: tensor<3xi1>, %x: tensor<2x3x4x5xf32>, %y: tensor<2x3x4x5xf32>, %w: tensor<3x3x1x1xf32>) -> tensor<2x3x4x5xf32> {
  %0 = graph.conv2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<2x3x4x5xf32>, tensor<3x3x1x1xf32>) -> tensor<2x3x4x5xf32>
  %c = graph.reshape %d : (tensor<3xi1>) -> tensor<3x1x1xi1>
  %1 = graph.select %c, %0, %y : (tensor<3x1x1xi1>, tensor<2x3x4x5xf32>, tensor<2x3x4x5xf32>) -> tensor<2x3x4x5xf32>
  func.return %1 : tensor<2x3x4x5xf32>
}

// The pixels of an image in sequence, as transformers have them: only a reshape where the image is
// channels-last. Rows and columns of a channel do not lie side by side otherwise.
// CHECK-LABEL: @sequence
// CHECK:         %[[C:.*]] = graph.conv2d {{.*}} layout = "nhwc"
// CHECK-NEXT:    %[[S:.*]] = graph.reshape %[[C]] : (tensor<2x4x5x6xf32>) -> tensor<2x20x6xf32>
// CHECK-NEXT:    graph.reshape %x : (tensor<2x3x4x5xf32>) -> tensor<2x3x20xf32>
// CHECK-NEXT:    %[[P:.*]] = graph.permute
// CHECK-NEXT:    func.return %[[S]], %[[P]]
func.func @sequence(%x: tensor<2x3x4x5xf32>, %w: tensor<6x3x1x1xf32>) -> (tensor<2x20x6xf32>, tensor<2x20x3xf32>) {
  %0 = graph.conv2d %x, %w {strides = [1, 1], padding = [0, 0, 0, 0], dilations = [1, 1], groups = 1, layout = "nchw"} : (tensor<2x3x4x5xf32>, tensor<6x3x1x1xf32>) -> tensor<2x6x4x5xf32>
  %1 = graph.reshape %0 : (tensor<2x6x4x5xf32>) -> tensor<2x6x20xf32>
  %2 = graph.permute %1 {permutation = [0, 2, 1]} : (tensor<2x6x20xf32>) -> tensor<2x20x6xf32>
  %3 = graph.reshape %x : (tensor<2x3x4x5xf32>) -> tensor<2x3x20xf32>
  %4 = graph.permute %3 {permutation = [0, 2, 1]} : (tensor<2x3x20xf32>) -> tensor<2x20x3xf32>
  func.return %2, %4 : tensor<2x20x6xf32>, tensor<2x20x3xf32>
}
