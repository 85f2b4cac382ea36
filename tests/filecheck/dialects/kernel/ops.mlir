// RUN: ait-opt %s | ait-opt - | filecheck %s
// RUN: ait-opt %s --print-op-generic | ait-opt - | filecheck %s

// CHECK-LABEL: func.func @copy(
// CHECK-NEXT:    %r = kernel.copy ins(%x <offset 0, sizes [3, 2], strides [1, 3]> : tensor<2x3xf32>) outs(%o : tensor<3x2xf32>)
func.func @copy(%x: tensor<2x3xf32>, %o: tensor<3x2xf32>) -> tensor<3x2xf32> {
  %r = kernel.copy ins(%x <offset 0, sizes [3, 2], strides [1, 3]> : tensor<2x3xf32>) outs(%o : tensor<3x2xf32>)
  func.return %r : tensor<3x2xf32>
}

// CHECK-LABEL: func.func @pointwise(
// CHECK-NEXT:    %r = kernel.pointwise ins(%x : tensor<4x8xf16>, %y <offset 0, sizes [4, 8], strides [0, 1]> : tensor<8xf32>) outs(%o : tensor<4x8xi32>) {source = "layer"} body {
// CHECK-NEXT:    ^bb0(%a: f32, %b: f32):
// CHECK-NEXT:      %i = kernel.index <offset 0, sizes [4, 8], strides [0, 1]>
// CHECK-NEXT:      %n = kernel.extent <8>
// CHECK-NEXT:      %0 = arith.addi %i, %n : i64
// CHECK-NEXT:      %1 = arith.trunci %0 : i64 to i32
// CHECK-NEXT:      kernel.yield %1 : i32
// CHECK-NEXT:    }
func.func @pointwise(%x: tensor<4x8xf16>, %y: tensor<8xf32>, %o: tensor<4x8xi32>) -> tensor<4x8xi32> {
  %r = kernel.pointwise ins(%x : tensor<4x8xf16>, %y <offset 0, sizes [4, 8], strides [0, 1]> : tensor<8xf32>) outs(%o : tensor<4x8xi32>) {source = "layer"} body {
  ^bb0(%a: f32, %b: f32):
    %i = kernel.index <offset 0, sizes [4, 8], strides [0, 1]>
    %n = kernel.extent <8>
    %0 = arith.addi %i, %n : i64
    %1 = arith.trunci %0 : i64 to i32
    kernel.yield %1 : i32
  }
  func.return %r : tensor<4x8xi32>
}

// CHECK-LABEL: func.func @gemm(
// CHECK-NEXT:    %r = kernel.gemm ins(%x : tensor<2x4x8xf16>, %w <offset 0, sizes [2, 8, 6], strides [0, 1, 8]> : tensor<6x8xf16>, %b <offset 0, sizes [2, 4, 6], strides [0, 0, 1]> : tensor<6xf32>) outs(%o : tensor<2x4x6xf16>) {groups = array<i64: 1, 1, 1, 1>} epilogue {
// CHECK-NEXT:    ^bb0(%acc: f32, %bias: f32):
// CHECK-NEXT:      %0 = arith.addf %acc, %bias : f32
// CHECK-NEXT:      kernel.yield %0 : f32
// CHECK-NEXT:    }
func.func @gemm(%x: tensor<2x4x8xf16>, %w: tensor<6x8xf16>, %b: tensor<6xf32>, %o: tensor<2x4x6xf16>) -> tensor<2x4x6xf16> {
  %r = kernel.gemm ins(%x : tensor<2x4x8xf16>, %w <offset 0, sizes [2, 8, 6], strides [0, 1, 8]> : tensor<6x8xf16>, %b <offset 0, sizes [2, 4, 6], strides [0, 0, 1]> : tensor<6xf32>) outs(%o : tensor<2x4x6xf16>) {groups = array<i64: 1, 1, 1, 1>} epilogue {
  ^bb0(%acc: f32, %bias: f32):
    %0 = arith.addf %acc, %bias : f32
    kernel.yield %0 : f32
  }
  func.return %r : tensor<2x4x6xf16>
}

// CHECK-LABEL: func.func @dual_gemm(
// CHECK-NEXT:    %r = kernel.dual_gemm ins(%x : tensor<4x8xf16>, %w <offset 0, sizes [8, 6], strides [1, 8]> : tensor<12x8xf16>, %w <offset 48, sizes [8, 6], strides [1, 8]> : tensor<12x8xf16>, %b <offset 0, sizes [4, 6], strides [0, 1]> : tensor<6xf32>) outs(%o : tensor<4x6xf16>) {groups = array<i64: 0, 1, 1, 1>} epilogue {
// CHECK-NEXT:    ^bb0(%up: f32, %gate: f32, %bias: f32):
// CHECK-NEXT:      %0 = arith.addf %up, %bias : f32
// CHECK-NEXT:      %1 = arith.mulf %0, %gate : f32
// CHECK-NEXT:      kernel.yield %1 : f32
// CHECK-NEXT:    }
func.func @dual_gemm(%x: tensor<4x8xf16>, %w: tensor<12x8xf16>, %b: tensor<6xf32>, %o: tensor<4x6xf16>) -> tensor<4x6xf16> {
  %r = kernel.dual_gemm ins(%x : tensor<4x8xf16>, %w <offset 0, sizes [8, 6], strides [1, 8]> : tensor<12x8xf16>, %w <offset 48, sizes [8, 6], strides [1, 8]> : tensor<12x8xf16>, %b <offset 0, sizes [4, 6], strides [0, 1]> : tensor<6xf32>) outs(%o : tensor<4x6xf16>) {groups = array<i64: 0, 1, 1, 1>} epilogue {
  ^bb0(%up: f32, %gate: f32, %bias: f32):
    %0 = arith.addf %up, %bias : f32
    %1 = arith.mulf %0, %gate : f32
    kernel.yield %1 : f32
  }
  func.return %r : tensor<4x6xf16>
}

// CHECK-LABEL: func.func @gemm_rowwise(
// CHECK-NEXT:    %r = kernel.gemm_rowwise ins(%x : tensor<4x8xf16>, %w <offset 0, sizes [8, 6], strides [1, 8]> : tensor<6x8xf16>, %b <offset 0, sizes [4, 6], strides [0, 1]> : tensor<6xf32>) outs(%o : tensor<4x6xf16>) {groups = array<i64: 0, 1, 1, 1>, kind = #kernel<rowwise_kind layer_norm>, eps = 1.000000e-05 : f32} prologue {
// CHECK-NEXT:    ^bb0(%sum: f32, %bias: f32):
// CHECK-NEXT:      %0 = arith.addf %sum, %bias : f32
// CHECK-NEXT:      kernel.yield %0 : f32
// CHECK-NEXT:    } epilogue {
// CHECK-NEXT:    ^bb0(%y: f32, %v: f32, %total: f32, %shift: f32):
// CHECK-NEXT:      %1 = arith.addf %y, %total : f32
// CHECK-NEXT:      kernel.yield %1 : f32
// CHECK-NEXT:    }
func.func @gemm_rowwise(%x: tensor<4x8xf16>, %w: tensor<6x8xf16>, %b: tensor<6xf32>, %o: tensor<4x6xf16>) -> tensor<4x6xf16> {
  %r = kernel.gemm_rowwise ins(%x : tensor<4x8xf16>, %w <offset 0, sizes [8, 6], strides [1, 8]> : tensor<6x8xf16>, %b <offset 0, sizes [4, 6], strides [0, 1]> : tensor<6xf32>) outs(%o : tensor<4x6xf16>) {groups = array<i64: 0, 1, 1, 1>, kind = #kernel.rowwise_kind layer_norm, eps = 1.0e-05 : f32} prologue {
  ^bb0(%sum: f32, %bias: f32):
    %0 = arith.addf %sum, %bias : f32
    kernel.yield %0 : f32
  } epilogue {
  ^bb0(%y: f32, %v: f32, %total: f32, %shift: f32):
    %0 = arith.addf %y, %total : f32
    kernel.yield %0 : f32
  }
  func.return %r : tensor<4x6xf16>
}

// CHECK-LABEL: func.func @back_to_back_gemm(
// CHECK-NEXT:    %r = kernel.back_to_back_gemm ins(%x : tensor<4x8xf16>, %w : tensor<8x6xf16>, %v <offset 0, sizes [6, 3], strides [1, 6]> : tensor<3x6xf16>, %b <offset 0, sizes [4, 6], strides [0, 1]> : tensor<6xf32>, %d <offset 0, sizes [4, 3], strides [0, 1]> : tensor<3xf32>) outs(%o : tensor<4x3xf16>) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 1 : i64} middle {
// CHECK-NEXT:    ^bb0(%first: f32, %bias: f32):
// CHECK-NEXT:      %0 = arith.addf %first, %bias : f32
// CHECK-NEXT:      kernel.yield %0 : f32
// CHECK-NEXT:    } epilogue {
// CHECK-NEXT:    ^bb0(%second: f32, %shift: f32):
// CHECK-NEXT:      %1 = arith.mulf %second, %shift : f32
// CHECK-NEXT:      kernel.yield %1 : f32
// CHECK-NEXT:    }
func.func @back_to_back_gemm(%x: tensor<4x8xf16>, %w: tensor<8x6xf16>, %v: tensor<3x6xf16>, %b: tensor<6xf32>, %d: tensor<3xf32>, %o: tensor<4x3xf16>) -> tensor<4x3xf16> {
  %r = kernel.back_to_back_gemm ins(%x : tensor<4x8xf16>, %w : tensor<8x6xf16>, %v <offset 0, sizes [6, 3], strides [1, 6]> : tensor<3x6xf16>, %b <offset 0, sizes [4, 6], strides [0, 1]> : tensor<6xf32>, %d <offset 0, sizes [4, 3], strides [0, 1]> : tensor<3xf32>) outs(%o : tensor<4x3xf16>) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 1 : i64} middle {
  ^bb0(%first: f32, %bias: f32):
    %0 = arith.addf %first, %bias : f32
    kernel.yield %0 : f32
  } epilogue {
  ^bb0(%second: f32, %shift: f32):
    %0 = arith.mulf %second, %shift : f32
    kernel.yield %0 : f32
  }
  func.return %r : tensor<4x3xf16>
}

// CHECK-LABEL: func.func @middle_kept(
// CHECK-NEXT:    %r, %t = kernel.back_to_back_gemm ins(%x : tensor<4x8xf16>, %w : tensor<8x6xf16>, %v : tensor<6x3xf16>, %a : tensor<4x6xf16>) outs(%o : tensor<4x3xf16>, %m : tensor<4x6xf16>) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 1 : i64, keeps_middle} middle {
// CHECK-NEXT:    ^bb0(%first: f32, %residual: f32):
// CHECK-NEXT:      %0 = arith.addf %first, %residual : f32
// CHECK-NEXT:      kernel.yield %0 : f32
// CHECK-NEXT:    } epilogue {
// CHECK-NEXT:    ^bb0(%second: f32):
// CHECK-NEXT:      kernel.yield %second : f32
// CHECK-NEXT:    }
func.func @middle_kept(%x: tensor<4x8xf16>, %w: tensor<8x6xf16>, %v: tensor<6x3xf16>, %a: tensor<4x6xf16>, %o: tensor<4x3xf16>, %m: tensor<4x6xf16>) -> (tensor<4x3xf16>, tensor<4x6xf16>) {
  %r, %t = kernel.back_to_back_gemm ins(%x : tensor<4x8xf16>, %w : tensor<8x6xf16>, %v : tensor<6x3xf16>, %a : tensor<4x6xf16>) outs(%o : tensor<4x3xf16>, %m : tensor<4x6xf16>) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 1 : i64, keeps_middle} middle {
  ^bb0(%first: f32, %residual: f32):
    %0 = arith.addf %first, %residual : f32
    kernel.yield %0 : f32
  } epilogue {
  ^bb0(%second: f32):
    kernel.yield %second : f32
  }
  func.return %r, %t : tensor<4x3xf16>, tensor<4x6xf16>
}

// CHECK-LABEL: func.func @conv(
// CHECK-NEXT:    %r = kernel.conv ins(%x : tensor<2x8x8x4xf32>, %w : tensor<6x3x3x2xf32>) outs(%o : tensor<2x4x4x6xf32>) {strides = array<i64: 2, 2>, padding = array<i64: 1, 1, 1, 1>, dilations = array<i64: 1, 1>, groups = 2 : i64} epilogue {
// CHECK-NEXT:    ^bb0(%acc: f32):
// CHECK-NEXT:      kernel.yield %acc : f32
// CHECK-NEXT:    }
func.func @conv(%x: tensor<2x8x8x4xf32>, %w: tensor<6x3x3x2xf32>, %o: tensor<2x4x4x6xf32>) -> tensor<2x4x4x6xf32> {
  %r = kernel.conv ins(%x : tensor<2x8x8x4xf32>, %w : tensor<6x3x3x2xf32>) outs(%o : tensor<2x4x4x6xf32>) {strides = array<i64: 2, 2>, padding = array<i64: 1, 1, 1, 1>, dilations = array<i64: 1, 1>, groups = 2 : i64} epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return %r : tensor<2x4x4x6xf32>
}

// CHECK-LABEL: func.func @conv_pool(
// CHECK-NEXT:    %r = kernel.conv_pool ins(%x : tensor<1x9x8x4xf16>, %w : tensor<6x3x3x4xf16>, %b <offset 0, sizes [1, 5, 4, 6], strides [0, 0, 0, 1]> : tensor<6xf16>, %y : tensor<1x3x2x6xf16>) outs(%o : tensor<1x3x2x6xf16>) {strides = array<i64: 2, 2>, padding = array<i64: 1, 1, 1, 1>, dilations = array<i64: 1, 1>, groups = 1 : i64, kind = #kernel<pool_kind max>, kernel = array<i64: 3, 3>, pool_strides = array<i64: 2, 2>, pool_padding = array<i64: 1, 1, 1, 1>, middle_extras = 1 : i64} middle {
// CHECK-NEXT:    ^bb0(%acc: f32, %bias: f32):
// CHECK-NEXT:      %0 = arith.addf %acc, %bias : f32
// CHECK-NEXT:      kernel.yield %0 : f32
// CHECK-NEXT:    } epilogue {
// CHECK-NEXT:    ^bb0(%largest: f32, %more: f32):
// CHECK-NEXT:      %1 = arith.addf %largest, %more : f32
// CHECK-NEXT:      kernel.yield %1 : f32
// CHECK-NEXT:    }
func.func @conv_pool(%x: tensor<1x9x8x4xf16>, %w: tensor<6x3x3x4xf16>, %b: tensor<6xf16>, %y: tensor<1x3x2x6xf16>, %o: tensor<1x3x2x6xf16>) -> tensor<1x3x2x6xf16> {
  %r = kernel.conv_pool ins(%x : tensor<1x9x8x4xf16>, %w : tensor<6x3x3x4xf16>, %b <offset 0, sizes [1, 5, 4, 6], strides [0, 0, 0, 1]> : tensor<6xf16>, %y : tensor<1x3x2x6xf16>) outs(%o : tensor<1x3x2x6xf16>) {strides = array<i64: 2, 2>, padding = array<i64: 1, 1, 1, 1>, dilations = array<i64: 1, 1>, groups = 1 : i64, kind = #kernel<pool_kind max>, kernel = array<i64: 3, 3>, pool_strides = array<i64: 2, 2>, pool_padding = array<i64: 1, 1, 1, 1>, middle_extras = 1 : i64} middle {
  ^bb0(%acc: f32, %bias: f32):
    %0 = arith.addf %acc, %bias : f32
    kernel.yield %0 : f32
  } epilogue {
  ^bb0(%largest: f32, %more: f32):
    %1 = arith.addf %largest, %more : f32
    kernel.yield %1 : f32
  }
  func.return %r : tensor<1x3x2x6xf16>
}

// CHECK-LABEL: func.func @attention(
// CHECK-NEXT:    %r = kernel.attention ins(%q : tensor<2x4x3x8xf16>, %k : tensor<2x2x5x8xf16>, %v : tensor<2x2x5x6xf16>, %m <offset 0, sizes [2, 4, 3, 5], strides [0, 0, 0, 1]> : tensor<5xf32>) outs(%o : tensor<2x4x3x6xf16>) {causal} score {
// CHECK-NEXT:    ^bb0(%s: f32, %mask: f32):
// CHECK-NEXT:      %0 = arith.addf %s, %mask : f32
// CHECK-NEXT:      kernel.yield %0 : f32
// CHECK-NEXT:    }
func.func @attention(%q: tensor<2x4x3x8xf16>, %k: tensor<2x2x5x8xf16>, %v: tensor<2x2x5x6xf16>, %m: tensor<5xf32>, %o: tensor<2x4x3x6xf16>) -> tensor<2x4x3x6xf16> {
  %r = kernel.attention ins(%q : tensor<2x4x3x8xf16>, %k : tensor<2x2x5x8xf16>, %v : tensor<2x2x5x6xf16>, %m <offset 0, sizes [2, 4, 3, 5], strides [0, 0, 0, 1]> : tensor<5xf32>) outs(%o : tensor<2x4x3x6xf16>) {causal} score {
  ^bb0(%s: f32, %mask: f32):
    %0 = arith.addf %s, %mask : f32
    kernel.yield %0 : f32
  }
  func.return %r : tensor<2x4x3x6xf16>
}

// CHECK-LABEL: func.func @rowwise(
// CHECK-NEXT:    %r = kernel.rowwise ins(%x : tensor<4x8xf32>) outs(%o : tensor<4x8xf16>) {kind = #kernel<rowwise_kind layer_norm>, reduced = 1 : i64, eps = 1.000000e-05 : f64} prologue {
// CHECK-NEXT:    ^bb0(%v: f32):
// CHECK-NEXT:      kernel.yield %v : f32
// CHECK-NEXT:    } epilogue {
// CHECK-NEXT:    ^bb0(%y: f32, %v_1: f32, %in: f32):
// CHECK-NEXT:      kernel.yield %y : f32
// CHECK-NEXT:    }
func.func @rowwise(%x: tensor<4x8xf32>, %o: tensor<4x8xf16>) -> tensor<4x8xf16> {
  %r = kernel.rowwise ins(%x : tensor<4x8xf32>) outs(%o : tensor<4x8xf16>) {kind = #kernel<rowwise_kind layer_norm>, reduced = 1 : i64, eps = 1.000000e-05 : f64} prologue {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  } epilogue {
  ^bb0(%y: f32, %v_1: f32, %in: f32):
    kernel.yield %y : f32
  }
  func.return %r : tensor<4x8xf16>
}

// CHECK-LABEL: func.func @reduce(
// CHECK-NEXT:    %r = kernel.reduce ins(%x : tensor<4x8xi8>) outs(%o : tensor<4xi64>) {kind = #kernel<reduce_kind argmax>, reduced = 1 : i64, extras = 0 : i64} prologue {
// CHECK-NEXT:    ^bb0(%v: i8):
// CHECK-NEXT:      kernel.yield %v : i8
// CHECK-NEXT:    } epilogue {
// CHECK-NEXT:    ^bb0(%best: i64):
// CHECK-NEXT:      kernel.yield %best : i64
// CHECK-NEXT:    }
func.func @reduce(%x: tensor<4x8xi8>, %o: tensor<4xi64>) -> tensor<4xi64> {
  %r = kernel.reduce ins(%x : tensor<4x8xi8>) outs(%o : tensor<4xi64>) {kind = #kernel<reduce_kind argmax>, reduced = 1 : i64, extras = 0 : i64} prologue {
  ^bb0(%v: i8):
    kernel.yield %v : i8
  } epilogue {
  ^bb0(%best: i64):
    kernel.yield %best : i64
  }
  func.return %r : tensor<4xi64>
}

// CHECK-LABEL: func.func @gather(
// CHECK-NEXT:    %r = kernel.gather ins(%t : tensor<10x4xbf16>, %i : tensor<3xi32>) outs(%o : tensor<3x4xbf16>) epilogue {
// CHECK-NEXT:    ^bb0(%v: f32):
// CHECK-NEXT:      kernel.yield %v : f32
// CHECK-NEXT:    }
func.func @gather(%t: tensor<10x4xbf16>, %i: tensor<3xi32>, %o: tensor<3x4xbf16>) -> tensor<3x4xbf16> {
  %r = kernel.gather ins(%t : tensor<10x4xbf16>, %i : tensor<3xi32>) outs(%o : tensor<3x4xbf16>) epilogue {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  }
  func.return %r : tensor<3x4xbf16>
}

// CHECK-LABEL: func.func @pool(
// CHECK-NEXT:    %r = kernel.pool ins(%x : tensor<1x8x8x4xf32>) outs(%o : tensor<1x4x4x4xf32>) {kind = #kernel<pool_kind average>, kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 1>, count_include_pad} epilogue {
// CHECK-NEXT:    ^bb0(%v: f32):
// CHECK-NEXT:      kernel.yield %v : f32
// CHECK-NEXT:    }
func.func @pool(%x: tensor<1x8x8x4xf32>, %o: tensor<1x4x4x4xf32>) -> tensor<1x4x4x4xf32> {
  %r = kernel.pool ins(%x : tensor<1x8x8x4xf32>) outs(%o : tensor<1x4x4x4xf32>) {kind = #kernel<pool_kind average>, kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 1>, count_include_pad} epilogue {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  }
  func.return %r : tensor<1x4x4x4xf32>
}

// CHECK-LABEL: func.func @resize(
// CHECK-NEXT:    %r = kernel.resize ins(%x : tensor<1x4x4x2xf32>) outs(%o : tensor<1x8x8x2xf32>) {mode = #kernel<resize_mode bilinear>, coordinates = #kernel<coordinates half_pixel>} epilogue {
// CHECK-NEXT:    ^bb0(%v: f32):
// CHECK-NEXT:      kernel.yield %v : f32
// CHECK-NEXT:    }
func.func @resize(%x: tensor<1x4x4x2xf32>, %o: tensor<1x8x8x2xf32>) -> tensor<1x8x8x2xf32> {
  %r = kernel.resize ins(%x : tensor<1x4x4x2xf32>) outs(%o : tensor<1x8x8x2xf32>) {mode = #kernel<resize_mode bilinear>, coordinates = #kernel<coordinates half_pixel>} epilogue {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  }
  func.return %r : tensor<1x8x8x2xf32>
}

// Without results, on buffers: destinations of the workspace, of the caller, and a group.
// CHECK-LABEL: func.func @buffers(
// CHECK-NEXT:    %b = kernel.buffer slot 1 : memref<4xf32>
// CHECK-NEXT:    %u = kernel.buffer : memref<?xf16, #sym.dims<[n], n in [1, 9]>>
// CHECK-NEXT:    kernel.group {
// CHECK-NEXT:      kernel.copy ins(%x : memref<4xf32>) outs(%b : memref<4xf32>)
// CHECK-NEXT:      kernel.copy ins(%x : memref<4xf32>) outs(%y : memref<4xf32>)
// CHECK-NEXT:    }
func.func @buffers(%x: memref<4xf32>, %y: memref<4xf32>) {
  %b = kernel.buffer slot 1 : memref<4xf32>
  %u = kernel.buffer : memref<?xf16, #sym.dims<[n], n in [1, 9]>>
  kernel.group {
    kernel.copy ins(%x : memref<4xf32>) outs(%b : memref<4xf32>)
    kernel.copy ins(%x : memref<4xf32>) outs(%y : memref<4xf32>)
  }
  func.return
}

// CHECK-LABEL: func.func @destinations(
// CHECK-NEXT:    %e = kernel.empty : tensor<?x4xf32, #sym.dims<[n, 4], n in [0, 8]>>
// CHECK-NEXT:    %r = kernel.copy ins(%x : tensor<?x4xf32, #sym.dims<[n, 4], n in [0, 8]>>) outs(%e : tensor<?x4xf32, #sym.dims<[n, 4], n in [0, 8]>>)
func.func @destinations(%x: tensor<?x4xf32, #sym.dims<[n, 4], n in [0, 8]>>) -> tensor<?x4xf32, #sym.dims<[n, 4], n in [0, 8]>> {
  %e = kernel.empty : tensor<?x4xf32, #sym.dims<[n, 4], n in [0, 8]>>
  %r = kernel.copy ins(%x : tensor<?x4xf32, #sym.dims<[n, 4], n in [0, 8]>>) outs(%e : tensor<?x4xf32, #sym.dims<[n, 4], n in [0, 8]>>)
  func.return %r : tensor<?x4xf32, #sym.dims<[n, 4], n in [0, 8]>>
}
