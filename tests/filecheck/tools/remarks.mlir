// RUN: ait-opt %s -p lower,fuse-vertical --remarks -o %t 2>&1 | filecheck %s
// RUN: ait-opt %s -p lower,fuse-vertical --remarks --verify-diagnostics -o %t

// A pass's decisions are printed with the layer and the line that they are about.
// CHECK: :9:3: remark: kernel.pointwise (layer.act): fused into kernel.gemm (layer) [fuse-vertical]
func.func @main(%x: tensor<8x16xf32>, %w: tensor<32x16xf32>) -> tensor<8x32xf32> {
  %0 = graph.linear %x, %w {source = "layer"} : (tensor<8x16xf32>, tensor<32x16xf32>) -> tensor<8x32xf32>
  // expected-remark@+1 {{fused into kernel.gemm (layer) [fuse-vertical]}}
  %1 = graph.relu %0 {source = "layer.act"} : tensor<8x32xf32>
  func.return %1 : tensor<8x32xf32>
}
