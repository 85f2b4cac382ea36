// RUN: ait-opt %s | ait-opt - | filecheck %s
// RUN: ait-opt %s --print-op-generic | ait-opt - | filecheck %s

// CHECK-LABEL: @view
// CHECK-NEXT:    %v = accessor.view %x <offset 0, sizes [3, 2], strides [1, 3]> : tensor<2x3xf32> -> tensor<3x2xf32>
func.func @view(%x: tensor<2x3xf32>) -> tensor<3x2xf32> {
  %v = accessor.view %x <offset 0, sizes [3, 2], strides [1, 3]> : tensor<2x3xf32> -> tensor<3x2xf32>
  func.return %v : tensor<3x2xf32>
}

// A dim of size 1 has stride 0: equal accesses have equal texts.
// CHECK-LABEL: @size_one
// CHECK-NEXT:    accessor.view %x <offset 2, sizes [1, 2], strides [0, 1]> : tensor<4xi64> -> tensor<1x2xi64>
func.func @size_one(%x: tensor<4xi64>) -> tensor<1x2xi64> {
  %v = accessor.view %x <offset 2, sizes [1, 2], strides [7, 1]> : tensor<4xi64> -> tensor<1x2xi64>
  func.return %v : tensor<1x2xi64>
}

// Symbolic sizes carry the bounds of their symbols.
// CHECK-LABEL: @dynamic
// CHECK-NEXT:    accessor.view %x <offset n * 4, sizes [n, 4], strides [-4, 1], n in [0, 8]> : tensor<?x4xf16, #sym.dims<[n + 1, 4], n in [0, 8]>> -> tensor<?x4xf16, #sym.dims<[n, 4], n in [0, 8]>>
func.func @dynamic(%x: tensor<?x4xf16, #sym.dims<[n + 1, 4], n in [0, 8]>>) -> tensor<?x4xf16, #sym.dims<[n, 4], n in [0, 8]>> {
  %v = accessor.view %x <offset n * 4, sizes [n, 4], strides [-4, 1], n in [0, 8]> : tensor<?x4xf16, #sym.dims<[n + 1, 4], n in [0, 8]>> -> tensor<?x4xf16, #sym.dims<[n, 4], n in [0, 8]>>
  func.return %v : tensor<?x4xf16, #sym.dims<[n, 4], n in [0, 8]>>
}

// CHECK-LABEL: @materialize
// CHECK-NEXT:    accessor.materialize %x : tensor<2x3xbf16>
func.func @materialize(%x: tensor<2x3xbf16>) -> tensor<2x3xbf16> {
  %m = accessor.materialize %x : tensor<2x3xbf16>
  func.return %m : tensor<2x3xbf16>
}

// CHECK-LABEL: @assemble
// CHECK-NEXT:    accessor.assemble %x, %y {maps = [#accessor.map<offset 0, sizes [2, 3], strides [5, 1]>, #accessor.map<offset 3, sizes [2, 2], strides [5, 1]>]} : (tensor<2x3xf32>, tensor<2x2xf32>) -> tensor<2x5xf32>
func.func @assemble(%x: tensor<2x3xf32>, %y: tensor<2x2xf32>) -> tensor<2x5xf32> {
  %a = accessor.assemble %x, %y {maps = [#accessor.map<offset 0, sizes [2, 3], strides [5, 1]>, #accessor.map<offset 3, sizes [2, 2], strides [5, 1]>]} : (tensor<2x3xf32>, tensor<2x2xf32>) -> tensor<2x5xf32>
  func.return %a : tensor<2x5xf32>
}

// CHECK-LABEL: @padded
// CHECK-NEXT:    accessor.assemble %x {fill = -1 : i32, maps = [#accessor.map<offset 1, sizes [3], strides [1]>]} : (tensor<3xi32>) -> tensor<5xi32>
func.func @padded(%x: tensor<3xi32>) -> tensor<5xi32> {
  %a = accessor.assemble %x {fill = -1 : i32, maps = [#accessor.map<offset 1, sizes [3], strides [1]>]} : (tensor<3xi32>) -> tensor<5xi32>
  func.return %a : tensor<5xi32>
}
