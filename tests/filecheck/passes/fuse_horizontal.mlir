// RUN: ait-opt %s -p lower,fuse-horizontal --remarks 2>&1 | filecheck %s

// CHECK: remark: kernel.gemm (attn.q): merged with kernel.gemm (attn.k): one launch, its input read once; 1.52 us apart, 1.52 us as one
// CHECK: remark: kernel.gemm (attn.k): not merged with kernel.gemm (attn.q): 1.52 us apart, 3.03 us as one, 1.51 us for copies of results

graph.parameter @attn.q.weight : tensor<8x16xf32>
graph.parameter @attn.k.weight : tensor<4x16xf32>
graph.parameter @attn.q.bias : tensor<8xf32>
graph.parameter @attn.k.bias : tensor<4xf32>

// CHECK:         graph.parameter @"attn.q|k.weight" derived : tensor<12x16xf32>

// Two linears of one input are one gemm over joined weights; their results are its columns.
// CHECK-LABEL: @main
// CHECK:         %[[M:.*]] = kernel.gemm ins(%x {{.*}}outs(%{{.*}} : tensor<3x12xf32>)
// CHECK:         accessor.view %[[M]] <offset 0, sizes [3, 8], strides [12, 1]>
// CHECK-NEXT:    accessor.view %[[M]] <offset 8, sizes [3, 4], strides [12, 1]>
// CHECK-NOT:     kernel.gemm
func.func @main(%x: tensor<3x16xf32>) -> (tensor<3x8xf32>, tensor<3x4xf32>) {
  %wq = graph.get_parameter @attn.q.weight : tensor<8x16xf32>
  %wk = graph.get_parameter @attn.k.weight : tensor<4x16xf32>
  %bq = graph.get_parameter @attn.q.bias : tensor<8xf32>
  %bk = graph.get_parameter @attn.k.bias : tensor<4xf32>
  %q = graph.linear %x, %wq, %bq {source = "attn.q"} : (tensor<3x16xf32>, tensor<8x16xf32>, tensor<8xf32>) -> tensor<3x8xf32>
  %k = graph.linear %x, %wk, %bk {source = "attn.k"} : (tensor<3x16xf32>, tensor<4x16xf32>, tensor<4xf32>) -> tensor<3x4xf32>
  %0 = graph.softmax %q {axis = 1} : tensor<3x8xf32>
  %1 = graph.softmax %k {axis = 1} : tensor<3x4xf32>
  func.return %0, %1 : tensor<3x8xf32>, tensor<3x4xf32>
}

// A result that is returned would have to be copied: the gemms stay apart.
// CHECK-LABEL: @returned
// CHECK-COUNT-2: kernel.gemm
func.func @returned(%x: tensor<3x16xf32>) -> (tensor<3x8xf32>, tensor<3x4xf32>) {
  %wq = graph.get_parameter @attn.q.weight : tensor<8x16xf32>
  %wk = graph.get_parameter @attn.k.weight : tensor<4x16xf32>
  %q = graph.linear %x, %wq {source = "attn.q"} : (tensor<3x16xf32>, tensor<8x16xf32>) -> tensor<3x8xf32>
  %k = graph.linear %x, %wk {source = "attn.k"} : (tensor<3x16xf32>, tensor<4x16xf32>) -> tensor<3x4xf32>
  func.return %q, %k : tensor<3x8xf32>, tensor<3x4xf32>
}

// CHECK-LABEL: @prepare
// CHECK:         accessor.assemble
