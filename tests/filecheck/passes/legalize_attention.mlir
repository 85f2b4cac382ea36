// RUN: ait-opt %s -p lower,fuse,legalize --target cuda:sm_90a --remarks 2>&1 | filecheck %s

// CHECK: remark: kernel.attention (wide): three kernels instead of one: heads of 512 and 512 elements [legalize]

// No kernel keeps heads of 512 elements. Queries of two heads share keys; a key behind a query is hidden.
// CHECK-LABEL: @wide
// CHECK:         %[[S:.*]] = kernel.gemm ins(%q <offset 0, sizes [1, 2, 2, 96, 512], strides [0, 98304, 49152, 512, 1]> : tensor<1x4x96x512xf16>, %k <offset 0, sizes [1, 2, 2, 512, 96], strides [0, 49152, 0, 1, 512]> : tensor<1x2x96x512xf16>) outs(%{{.*}} : tensor<1x2x2x96x96xf32>) {groups = array<i64: 3, 1, 1, 1>
// CHECK:           kernel.index <offset 0, sizes [1, 2, 2, 96, 96], strides [0, 0, 0, 1, 0]>
// CHECK:         %[[W:.*]] = kernel.rowwise ins(%[[S]] : tensor<1x2x2x96x96xf32>) outs(%{{.*}} : tensor<1x2x2x96x96xf16>) {{.*}}kind = #kernel<rowwise_kind softmax>
// CHECK:         kernel.gemm ins(%[[W]] : tensor<1x2x2x96x96xf16>, %v <offset 0, sizes [1, 2, 2, 96, 512], strides [0, 49152, 0, 512, 1]> : tensor<1x2x96x512xf16>)
// CHECK-NOT:     kernel.attention
func.func @wide(%q: tensor<1x4x96x512xf16>, %k: tensor<1x2x96x512xf16>, %v: tensor<1x2x96x512xf16>) -> tensor<1x4x96x512xf16> {
  %0 = graph.attention %q, %k, %v {causal, scale = 0.125, source = "wide"} : (tensor<1x4x96x512xf16>, tensor<1x2x96x512xf16>, tensor<1x2x96x512xf16>) -> tensor<1x4x96x512xf16>
  func.return %0 : tensor<1x4x96x512xf16>
}

// What a kernel takes stays one.
// CHECK-LABEL: @narrow
// CHECK:         kernel.attention
// CHECK-NOT:     kernel.gemm
func.func @narrow(%q: tensor<1x4x96x64xf16>, %k: tensor<1x2x96x64xf16>, %v: tensor<1x2x96x64xf16>) -> tensor<1x4x96x64xf16> {
  %0 = graph.attention %q, %k, %v {scale = 0.125} : (tensor<1x4x96x64xf16>, tensor<1x2x96x64xf16>, tensor<1x2x96x64xf16>) -> tensor<1x4x96x64xf16>
  func.return %0 : tensor<1x4x96x64xf16>
}
