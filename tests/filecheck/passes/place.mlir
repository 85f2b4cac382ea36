// RUN: ait-opt %s -p lower,bufferize | filecheck %s --check-prefix=BUFFERS
// RUN: ait-opt %s -p lower,bufferize,plan-memory,select-config --target cpu | filecheck %s

// Outputs are trailing arguments that kernels write themselves; only the middle needs memory.
// BUFFERS-LABEL: @chain(%x: memref<4x4xf32> {ait.name = "x"}, {{.*}}: memref<4x4xf32> {ait.name = "y", ait.output})
// BUFFERS-COUNT-8: kernel.buffer : memref<4x4xf32>
// BUFFERS-NOT:     kernel.buffer

// Eight activations of one size need two buffers, with one configuration for each kernel.
// CHECK-LABEL: @chain
// CHECK-SAME:    slots = #sym.dims<[64, 64]>
// CHECK:         kernel.buffer slot 0
// CHECK:         kernel.gemm {{.*}}config = #cpu.
// CHECK:         kernel.buffer slot 1
// CHECK:         kernel.buffer slot 0
// CHECK-NOT:     slot 2
func.func @chain(%x: tensor<4x4xf32> {ait.name = "x"}) -> (tensor<4x4xf32> {ait.name = "y"}) {
  %0 = graph.matmul %x, %x : tensor<4x4xf32>
  %1 = graph.matmul %0, %x : tensor<4x4xf32>
  %2 = graph.matmul %1, %x : tensor<4x4xf32>
  %3 = graph.matmul %2, %x : tensor<4x4xf32>
  %4 = graph.matmul %3, %x : tensor<4x4xf32>
  %5 = graph.matmul %4, %x : tensor<4x4xf32>
  %6 = graph.matmul %5, %x : tensor<4x4xf32>
  %7 = graph.matmul %6, %x : tensor<4x4xf32>
  %8 = graph.matmul %7, %x : tensor<4x4xf32>
  func.return %8 : tensor<4x4xf32>
}

// An input that is returned, and a value returned twice, are copied to the outputs.
// BUFFERS-LABEL: @returned
// BUFFERS:         kernel.pointwise ins(%x {{.*}}outs(%y : memref<4xf32>)
// BUFFERS:         kernel.copy ins(%y : memref<4xf32>) outs(%z : memref<4xf32>)
// BUFFERS:         kernel.copy ins(%x : memref<4xf32>) outs(%w : memref<4xf32>)
func.func @returned(%x: tensor<4xf32> {ait.name = "x"}) -> (tensor<4xf32> {ait.name = "y"}, tensor<4xf32> {ait.name = "z"}, tensor<4xf32> {ait.name = "w"}) {
  %0 = graph.tanh %x : tensor<4xf32>
  func.return %0, %0, %x : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}
