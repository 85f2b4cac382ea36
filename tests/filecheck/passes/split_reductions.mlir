// RUN: ait-opt %s -p lower,split-reductions --target cuda:sm_90a --remarks --verify-each 2>&1 | filecheck %s

// CHECK: remark: kernel.reduce (all): done in 512 parts
// CHECK: remark: kernel.reduce (columns): done in 256 parts
// CHECK-NOT: remark

// One result: parts of neighbours. What is computed behind the sum stays behind it.
// CHECK-LABEL: @all
// CHECK:         %[[E:.*]] = kernel.empty : tensor<512xf32>
// CHECK-NEXT:    %[[P:.*]] = kernel.reduce ins(%x <offset 0, sizes [512, 65536], strides [65536, 1]> : tensor<33554432xf16>) outs(%[[E]] : tensor<512xf32>)
// CHECK:         kernel.reduce ins(%[[P]] : tensor<512xf32>) outs(%{{.*}} : tensor<f16>)
// CHECK:         epilogue
// CHECK:           arith.{{mulf|divf}}
func.func @all(%x: tensor<33554432xf16>) -> tensor<f16> {
  %0 = graph.reduce_mean %x {axes = [0], source = "all"} : (tensor<33554432xf16>) -> tensor<f16>
  func.return %0 : tensor<f16>
}

// Columns: the parts are outermost, so that neighbours are results as before.
// CHECK-LABEL: @columns
// CHECK:         kernel.reduce ins(%x <offset 0, sizes [256, 64, 4096], strides [262144, 1, 64]> : tensor<1048576x64xf16>) outs(%{{.*}} : tensor<256x64xf32>)
// CHECK:         kernel.reduce ins(%{{.*}} <offset 0, sizes [64, 256], strides [1, 64]> : tensor<256x64xf32>) outs(%{{.*}} : tensor<64xf16>)
func.func @columns(%x: tensor<1048576x64xf16>) -> tensor<64xf16> {
  %0 = graph.reduce_max %x {axes = [0], source = "columns"} : (tensor<1048576x64xf16>) -> tensor<64xf16>
  func.return %0 : tensor<64xf16>
}

// As many results as units, a short reduction, and an index of the largest: as they are.
// CHECK-LABEL: @others
// CHECK-COUNT-3: kernel.reduce
// CHECK-NOT:     kernel.reduce
func.func @others(%x: tensor<256x65536xf16>, %y: tensor<4096xf16>, %z: tensor<33554432xf16>) -> (tensor<256xf16>, tensor<f16>, tensor<i64>) {
  %0 = graph.reduce_sum %x {axes = [1]} : (tensor<256x65536xf16>) -> tensor<256xf16>
  %1 = graph.reduce_sum %y {axes = [0]} : (tensor<4096xf16>) -> tensor<f16>
  %2 = graph.argmax %z {axis = 0} : (tensor<33554432xf16>) -> tensor<i64>
  func.return %0, %1, %2 : tensor<256xf16>, tensor<f16>, tensor<i64>
}
