// RUN: ait-opt %s -p lower,fuse,fuse-pools --remarks --verify-each 2>&1 | filecheck %s
// RUN: ait-opt %s -p lower,fuse,target --target cuda:sm_90a --remarks --verify-each 2>&1 | filecheck %s --check-prefix=HOPPER
// RUN: ait-opt %s -p lower,fuse,target --target cuda:sm_80 --remarks --verify-each 2>&1 | filecheck %s --check-prefix=AMPERE

// HOPPER-DAG: remark: kernel.pool (pool): kernel.conv (stem) and kernel.pool (pool) are one kernel: {{.*}} us expected, {{.*}} us apart
// HOPPER-DAG: remark: kernel.pool (wide): not one kernel with kernel.conv, which it pools: windows of 5 columns every 2
// AMPERE:     remark: kernel.pool (pool): not one kernel with kernel.conv (stem), which it pools: cuda:sm_80 has no kernel.conv_pool

// The convolution's code stays in the middle, that behind the pool in the epilogue.
// CHECK-LABEL: @stem
// CHECK-NOT:     kernel.conv ins
// CHECK:         kernel.conv_pool ins(%x : tensor<8x224x224x3xf16>, %w : tensor<64x7x7x3xf16>, %b <offset 0, sizes [8, 112, 112, 64], strides [0, 0, 0, 1]> : tensor<64xf16>, %r : tensor<8x56x56x64xf16>) outs(%{{.*}} : tensor<8x56x56x64xf16>) {strides = array<i64: 2, 2>, padding = array<i64: 3, 3, 3, 3>
// CHECK:         middle
// CHECK:           arith.maximumf
// CHECK:         epilogue
// CHECK:           arith.mulf
// CHECK-NOT:     kernel.pool
// HOPPER-LABEL: @stem
// HOPPER:        kernel.conv_pool
// AMPERE-LABEL: @stem
// AMPERE:        kernel.conv ins
// AMPERE:        kernel.pool
func.func @stem(%x: tensor<8x224x224x3xf16>, %w: tensor<64x7x7x3xf16>, %b: tensor<64xf16>, %r: tensor<8x56x56x64xf16>) -> tensor<8x56x56x64xf16> {
  %0 = graph.conv2d %x, %w, %b {strides = [2, 2], padding = [3, 3, 3, 3], dilations = [1, 1], groups = 1, layout = "nhwc", source = "stem"} : (tensor<8x224x224x3xf16>, tensor<64x7x7x3xf16>, tensor<64xf16>) -> tensor<8x112x112x64xf16>
  %1 = graph.relu %0 : (tensor<8x112x112x64xf16>) -> tensor<8x112x112x64xf16>
  %2 = graph.max_pool2d %1 {kernel = [3, 3], strides = [2, 2], padding = [1, 1, 1, 1], dilations = [1, 1], layout = "nhwc", source = "pool"} : (tensor<8x112x112x64xf16>) -> tensor<8x56x56x64xf16>
  %3 = graph.mul %2, %r : (tensor<8x56x56x64xf16>, tensor<8x56x56x64xf16>) -> tensor<8x56x56x64xf16>
  func.return %3 : tensor<8x56x56x64xf16>
}

// Windows that no kernel of the target has at hand.
// CHECK-LABEL: @wide
// CHECK:         kernel.conv_pool
// HOPPER-LABEL: @wide
// HOPPER:        kernel.conv ins
// HOPPER:        kernel.pool
func.func @wide(%x: tensor<8x224x224x3xf16>, %w: tensor<64x7x7x3xf16>) -> tensor<8x56x56x64xf16> {
  %0 = graph.conv2d %x, %w {strides = [2, 2], padding = [3, 3, 3, 3], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<8x224x224x3xf16>, tensor<64x7x7x3xf16>) -> tensor<8x112x112x64xf16>
  %1 = graph.max_pool2d %0 {kernel = [5, 5], strides = [2, 2], padding = [2, 2, 2, 2], dilations = [1, 1], layout = "nhwc", source = "wide"} : (tensor<8x112x112x64xf16>) -> tensor<8x56x56x64xf16>
  func.return %1 : tensor<8x56x56x64xf16>
}

// Others read what is pooled: it is an output, or two pools read it.
// CHECK-LABEL: @shared
// CHECK:         kernel.conv ins
// CHECK:         kernel.pool
func.func @shared(%x: tensor<8x224x224x3xf16>, %w: tensor<64x7x7x3xf16>) -> (tensor<8x112x112x64xf16>, tensor<8x56x56x64xf16>) {
  %0 = graph.conv2d %x, %w {strides = [2, 2], padding = [3, 3, 3, 3], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<8x224x224x3xf16>, tensor<64x7x7x3xf16>) -> tensor<8x112x112x64xf16>
  %1 = graph.max_pool2d %0 {kernel = [3, 3], strides = [2, 2], padding = [1, 1, 1, 1], dilations = [1, 1], layout = "nhwc"} : (tensor<8x112x112x64xf16>) -> tensor<8x56x56x64xf16>
  func.return %0, %1 : tensor<8x112x112x64xf16>, tensor<8x56x56x64xf16>
}

// CHECK-LABEL: @twice
// CHECK:         kernel.conv ins
// CHECK-COUNT-2: kernel.pool
func.func @twice(%x: tensor<8x224x224x3xf16>, %w: tensor<64x7x7x3xf16>) -> (tensor<8x56x56x64xf16>, tensor<8x56x56x64xf16>) {
  %0 = graph.conv2d %x, %w {strides = [2, 2], padding = [3, 3, 3, 3], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<8x224x224x3xf16>, tensor<64x7x7x3xf16>) -> tensor<8x112x112x64xf16>
  %1 = graph.max_pool2d %0 {kernel = [3, 3], strides = [2, 2], padding = [1, 1, 1, 1], dilations = [1, 1], layout = "nhwc"} : (tensor<8x112x112x64xf16>) -> tensor<8x56x56x64xf16>
  %2 = graph.avg_pool2d %0 {kernel = [3, 3], strides = [2, 2], padding = [1, 1, 1, 1], count_include_pad, layout = "nhwc"} : (tensor<8x112x112x64xf16>) -> tensor<8x56x56x64xf16>
  func.return %1, %2 : tensor<8x56x56x64xf16>, tensor<8x56x56x64xf16>
}

// What is pooled would be more exact than the input: it would be rounded.
// CHECK-LABEL: @exact
// CHECK:         kernel.conv ins
// CHECK:         kernel.pool
func.func @exact(%x: tensor<8x224x224x3xf16>, %w: tensor<64x7x7x3xf16>) -> tensor<8x56x56x64xf32> {
  %0 = graph.conv2d %x, %w {strides = [2, 2], padding = [3, 3, 3, 3], dilations = [1, 1], groups = 1, layout = "nhwc"} : (tensor<8x224x224x3xf16>, tensor<64x7x7x3xf16>) -> tensor<8x112x112x64xf16>
  %1 = graph.cast %0 : (tensor<8x112x112x64xf16>) -> tensor<8x112x112x64xf32>
  %2 = graph.max_pool2d %1 {kernel = [3, 3], strides = [2, 2], padding = [1, 1, 1, 1], dilations = [1, 1], layout = "nhwc"} : (tensor<8x112x112x64xf32>) -> tensor<8x56x56x64xf32>
  func.return %2 : tensor<8x56x56x64xf32>
}
