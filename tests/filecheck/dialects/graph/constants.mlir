// RUN: ait-opt %s | ait-opt - | filecheck %s
// RUN: ait-opt %s --print-op-generic | ait-opt - | filecheck %s

// CHECK-LABEL: func.func @constant_1(
// CHECK-NEXT: %y = graph.constant dense<{{\[\[}}1.000000e+00, -5.000000e-01], [3.000000e+08, 1.000000e-01]]> : tensor<2x2xf32>
func.func @constant_1() -> tensor<2x2xf32> {
  %y = graph.constant dense<[[1.000000e+00, -5.000000e-01], [3.000000e+08, 1.000000e-01]]> : tensor<2x2xf32>
  func.return %y : tensor<2x2xf32>
}

// CHECK-LABEL: func.func @constant_2(
// CHECK-NEXT: %y = graph.constant dense<true> : tensor<i1>
func.func @constant_2() -> tensor<i1> {
  %y = graph.constant dense<true> : tensor<i1>
  func.return %y : tensor<i1>
}

// CHECK-LABEL: func.func @constant_8_bits(
// CHECK-NEXT: %y = graph.constant dense<[1.000000e+00, -4.480000e+02, 1.953120e-03, 0x7f]> : tensor<4xf8E4M3FN>
func.func @constant_8_bits() -> tensor<4xf8E4M3FN> {
  %y = graph.constant dense<[1.000000e+00, -4.480000e+02, 1.953120e-03, 0x7f]> : tensor<4xf8E4M3FN>
  func.return %y : tensor<4xf8E4M3FN>
}

// CHECK-LABEL: func.func @iota_1(
// CHECK-NEXT: %y = graph.iota {axis = 1} : tensor<?x?xi64, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>>
func.func @iota_1() -> tensor<?x?xi64, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>> {
  %y = graph.iota {axis = 1} : tensor<?x?xi64, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>>
  func.return %y : tensor<?x?xi64, #sym.dims<[batch, seq], batch in [1, 64], seq in [1, 256]>>
}

// CHECK-LABEL: func.func @iota_2(
// CHECK-NEXT: %y = graph.iota {axis = 0} : tensor<7xf32>
func.func @iota_2() -> tensor<7xf32> {
  %y = graph.iota {axis = 0} : tensor<7xf32>
  func.return %y : tensor<7xf32>
}

// CHECK:      graph.parameter @encoder.weight : tensor<2x3xbf16> {source = "encoder"}
// CHECK-NEXT: graph.parameter @folded derived : tensor<4xf32>
// CHECK-NEXT: graph.parameter @table = dense<[1, 2]> : tensor<2xi64>
graph.parameter @encoder.weight : tensor<2x3xbf16> {source = "encoder"}
graph.parameter @folded derived : tensor<4xf32>
graph.parameter @table = dense<[1, 2]> : tensor<2xi64>

// CHECK-LABEL: func.func @get_parameter(
// CHECK-NEXT: %w = graph.get_parameter @encoder.weight : tensor<2x3xbf16>
func.func @get_parameter() -> tensor<2x3xbf16> {
  %w = graph.get_parameter @encoder.weight : tensor<2x3xbf16>
  func.return %w : tensor<2x3xbf16>
}

// Infinities, NaN and numbers that xDSL writes as their bits.
// CHECK-LABEL: func.func @constants_as_bits(
// CHECK-NEXT: %a = graph.constant {source = "mask"} dense<0xff800000> : tensor<4xf32>
// CHECK-NEXT: %b = graph.constant dense<[0x4CEB79A3, 1.000000e+00]> : tensor<2xf32>
// CHECK-NEXT: %c = graph.constant dense<0x7e00> : tensor<f16>
// CHECK-NEXT: %d = graph.constant dense<0xff80> : tensor<1xbf16>
// CHECK-NEXT: %e = graph.constant dense<16> : tensor<1xi32>
func.func @constants_as_bits() {
  %a = graph.constant {source = "mask"} dense<0xff800000> : tensor<4xf32>
  %b = graph.constant dense<[0x4CEB79A3, 1.0]> : tensor<2xf32>
  %c = graph.constant dense<0x7e00> : tensor<f16>
  %d = graph.constant dense<0xff80> : tensor<1xbf16>
  %e = graph.constant dense<0x10> : tensor<1xi32>
  func.return
}
