// RUN: ait-opt %s --split-input-file --verify-diagnostics

// What all kernels check: maps, destinations and regions.

func.func @domain(%x: tensor<4xf32>, %o: tensor<5xf32>) {
  // expected-error@+1 {{in 0 ranges over [4], expected [5]}}
  %r = kernel.copy ins(%x : tensor<4xf32>) outs(%o : tensor<5xf32>)
  func.return
}

// -----

func.func @bounds(%x: tensor<4xf32>, %o: tensor<4xf32>) {
  // expected-error@+1 {{in 0 reaches elements 2 to 5 of a storage of 4}}
  %r = kernel.copy ins(%x <offset 2, sizes [4], strides [1]> : tensor<4xf32>) outs(%o : tensor<4xf32>)
  func.return
}

// -----

func.func @out_bounds(%x: tensor<4xf32>, %o: tensor<4xf32>) {
  // expected-error@+1 {{out 0 reaches elements 0 to 6 of a storage of 4}}
  %r = kernel.copy ins(%x : tensor<4xf32>) outs(%o <offset 0, sizes [4], strides [2]> : tensor<4xf32>)
  func.return
}

// -----

func.func @no_destination(%x: tensor<4xf32>) {
  // expected-error@+1 {{kernel.copy needs a destination}}
  kernel.copy ins(%x : tensor<4xf32>) outs()
  func.return
}

// -----

func.func @mixed(%x: tensor<4xf32>, %a: tensor<4xf32>, %b: memref<4xf32>) {
  // expected-error@+1 {{destinations are all tensors or all memrefs}}
  %r = kernel.pointwise ins(%x : tensor<4xf32>) outs(%a : tensor<4xf32>, %b : memref<4xf32>) body {
  ^bb0(%v: f32):
    kernel.yield %v, %v : f32, f32
  }
  func.return
}

// -----

func.func @arguments(%x: tensor<4xf16>, %o: tensor<4xf16>) {
  // expected-error@+1 {{region body takes (f16), expected (f32)}}
  %r = kernel.pointwise ins(%x : tensor<4xf16>) outs(%o : tensor<4xf16>) body {
  ^bb0(%v: f16):
    kernel.yield %v : f16
  }
  func.return
}

// -----

func.func @yields(%x: tensor<4xf32>, %o: tensor<4xi32>) {
  // expected-error@+1 {{region body yields (f32), expected (i32)}}
  %r = kernel.pointwise ins(%x : tensor<4xf32>) outs(%o : tensor<4xi32>) body {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  }
  func.return
}

// -----

func.func @unterminated(%x: tensor<4xf32>, %o: tensor<4xf32>) {
  // expected-error@+1 {{region body must end in kernel.yield}}
  %r = kernel.pointwise ins(%x : tensor<4xf32>) outs(%o : tensor<4xf32>) body {
  ^bb0(%v: f32):
    // expected-error@+1 {{terminates block in single-block region but is not a terminator}}
    %0 = arith.negf %v : f32
  }
  func.return
}

// -----

func.func @outer(%x: tensor<4xf32>, %o: tensor<4xf32>, %outer: f32) {
  // expected-error@+1 {{using value defined out of its IsolatedFromAbove parent}}
  %r = kernel.pointwise ins(%x : tensor<4xf32>) outs(%o : tensor<4xf32>) body {
  ^bb0(%v: f32):
    kernel.yield %outer : f32
  }
  func.return
}

// -----

func.func @missing_region(%x: tensor<4xf32>, %o: tensor<4xf32>) {
  %r = kernel.pointwise ins(%x : tensor<4xf32>) outs(%o : tensor<4xf32>)
  // expected-error@+1 {{Expected 'body'}}
  func.return
}

// -----

// Checks of each kind.

func.func @gemm_factors(%x: tensor<4x8xf32>, %o: tensor<4x6xf32>) {
  // expected-error@+1 {{kernel.gemm needs 2 factors, not 1}}
  %r = kernel.gemm ins(%x : tensor<4x8xf32>) outs(%o : tensor<4x6xf32>) {groups = array<i64: 0, 1, 1, 1>} epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @gemm_groups(%x: tensor<4x8xf32>, %w: tensor<8xf32>, %o: tensor<4x6xf32>) {
  // expected-error@+1 {{groups [0, 1, 0, 1] do not fit [4, 6]}}
  %r = kernel.gemm ins(%x : tensor<4x8xf32>, %w : tensor<8xf32>) outs(%o : tensor<4x6xf32>) {groups = array<i64: 0, 1, 0, 1>} epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @gemm_k(%x: tensor<4x8xf32>, %w: tensor<7x6xf32>, %o: tensor<4x6xf32>) {
  // expected-error@+1 {{in 1 ranges over [7, 6], expected [8, 6]}}
  %r = kernel.gemm ins(%x : tensor<4x8xf32>, %w : tensor<7x6xf32>) outs(%o : tensor<4x6xf32>) {groups = array<i64: 0, 1, 1, 1>} epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @dual_gemm_factors(%x: tensor<4x8xf32>, %w: tensor<8x6xf32>, %o: tensor<4x6xf32>) {
  // expected-error@+1 {{kernel.dual_gemm needs 3 factors, not 2}}
  %r = kernel.dual_gemm ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>) outs(%o : tensor<4x6xf32>) {groups = array<i64: 0, 1, 1, 1>} epilogue {
  ^bb0(%p: f32, %q: f32):
    kernel.yield %p : f32
  }
  func.return
}

// -----

func.func @dual_gemm_columns(%x: tensor<4x8xf32>, %w: tensor<8x6xf32>, %v: tensor<8x5xf32>, %o: tensor<4x6xf32>) {
  // expected-error@+1 {{in 2 ranges over [8, 5], expected [8, 6]}}
  %r = kernel.dual_gemm ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>, %v : tensor<8x5xf32>) outs(%o : tensor<4x6xf32>) {groups = array<i64: 0, 1, 1, 1>} epilogue {
  ^bb0(%p: f32, %q: f32):
    kernel.yield %p : f32
  }
  func.return
}

// -----

func.func @dual_gemm_sums(%x: tensor<4x8xf32>, %w: tensor<8x6xf32>, %o: tensor<4x6xf32>) {
  // expected-error@+1 {{region epilogue takes (f32), expected (f32, f32)}}
  %r = kernel.dual_gemm ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>, %w : tensor<8x6xf32>) outs(%o : tensor<4x6xf32>) {groups = array<i64: 0, 1, 1, 1>} epilogue {
  ^bb0(%p: f32):
    kernel.yield %p : f32
  }
  func.return
}

// -----

func.func @gemm_rowwise_without_columns(%x: tensor<4x8xf32>, %w: tensor<8xf32>, %o: tensor<4xf32>) {
  // expected-error@+1 {{a row needs a dim of columns}}
  %r = kernel.gemm_rowwise ins(%x : tensor<4x8xf32>, %w : tensor<8xf32>) outs(%o : tensor<4xf32>) {groups = array<i64: 0, 1, 0, 1>, kind = #kernel.rowwise_kind softmax} prologue {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  } epilogue {
  ^bb0(%y: f32, %v: f32, %s: f32):
    kernel.yield %y : f32
  }
  func.return
}

// -----

func.func @gemm_rowwise_prologue(%x: tensor<4x8xf32>, %w: tensor<8x6xf32>, %o: tensor<4x6xf32>) {
  // expected-error@+1 {{region prologue takes (f32, f32), expected (f32)}}
  %r = kernel.gemm_rowwise ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>) outs(%o : tensor<4x6xf32>) {groups = array<i64: 0, 1, 1, 1>, kind = #kernel.rowwise_kind softmax} prologue {
  ^bb0(%s: f32, %t: f32):
    kernel.yield %s : f32
  } epilogue {
  ^bb0(%y: f32, %v: f32, %s: f32):
    kernel.yield %y : f32
  }
  func.return
}

// -----

func.func @back_to_back_groups(%x: tensor<4x8xf32>, %w: tensor<8x6xf32>, %v: tensor<6x3xf32>, %o: tensor<4x3xf32>) {
  // expected-error@+1 {{groups [0, 1, 1, 1] do not fit [4, 3]}}
  %r = kernel.back_to_back_gemm ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>, %v : tensor<6x3xf32>) outs(%o : tensor<4x3xf32>) {groups = array<i64: 0, 1, 1, 1>, middle_extras = 0 : i64} middle {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  } epilogue {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  }
  func.return
}

// -----

func.func @back_to_back_factors(%x: tensor<4x8xf32>, %w: tensor<8x6xf32>, %v: tensor<6x3xf32>, %o: tensor<4x3xf32>) {
  // expected-error@+1 {{kernel.back_to_back_gemm needs 3 factors and the middle extras, not 3 operands}}
  %r = kernel.back_to_back_gemm ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>, %v : tensor<6x3xf32>) outs(%o : tensor<4x3xf32>) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 1 : i64} middle {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  } epilogue {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  }
  func.return
}

// -----

func.func @back_to_back_middle(%x: tensor<4x8xf32>, %w: tensor<8x6xf32>, %v: tensor<5x3xf32>, %o: tensor<4x3xf32>) {
  // expected-error@+1 {{in 2 ranges over [5, 3], expected [6, 3]}}
  %r = kernel.back_to_back_gemm ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>, %v : tensor<5x3xf32>) outs(%o : tensor<4x3xf32>) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 0 : i64} middle {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  } epilogue {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  }
  func.return
}

// -----

func.func @middle_alone(%x: tensor<4x8xf32>, %w: tensor<8x6xf32>, %v: tensor<6x3xf32>, %t: tensor<4x6xf32>) {
  // expected-error@+1 {{the middle is kept, but there is no other destination}}
  %r = kernel.back_to_back_gemm ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>, %v : tensor<6x3xf32>) outs(%t : tensor<4x6xf32>) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 0 : i64, keeps_middle} middle {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  } epilogue {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  }
  func.return
}

// -----

func.func @middle_of_result(%x: tensor<4x8xf32>, %w: tensor<8x6xf32>, %v: tensor<6x3xf32>, %o: tensor<4x3xf32>, %t: tensor<4x3xf32>) {
  // expected-error@+1 {{out 1 ranges over [4, 3], expected [4, 6]}}
  %r, %t2 = kernel.back_to_back_gemm ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>, %v : tensor<6x3xf32>) outs(%o : tensor<4x3xf32>, %t : tensor<4x3xf32>) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 0 : i64, keeps_middle} middle {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  } epilogue {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  }
  func.return
}

// -----

func.func @middle_of_integers(%x: tensor<4x8xf32>, %w: tensor<8x6xf32>, %v: tensor<6x3xf32>, %o: tensor<4x3xf32>, %t: tensor<4x6xi32>) {
  // expected-error@+1 {{the middle is kept as i32, but it is a float}}
  %r, %t2 = kernel.back_to_back_gemm ins(%x : tensor<4x8xf32>, %w : tensor<8x6xf32>, %v : tensor<6x3xf32>) outs(%o : tensor<4x3xf32>, %t : tensor<4x6xi32>) {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 0 : i64, keeps_middle} middle {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  } epilogue {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  }
  func.return
}

// -----

func.func @conv_rank(%x: tensor<8x8x4xf32>, %w: tensor<6x3x3x4xf32>, %o: tensor<1x6x6x6xf32>) {
  // expected-error@+1 {{the input must have 4 dims, not 3}}
  %r = kernel.conv ins(%x : tensor<8x8x4xf32>, %w : tensor<6x3x3x4xf32>) outs(%o : tensor<1x6x6x6xf32>) {strides = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 1>, groups = 1 : i64} epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @conv_factors(%x: tensor<1x8x8x4xf32>, %o: tensor<1x6x6x6xf32>) {
  // expected-error@+1 {{a convolution needs an input and weights}}
  %r = kernel.conv ins(%x : tensor<1x8x8x4xf32>) outs(%o : tensor<1x6x6x6xf32>) {strides = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 1>, groups = 1 : i64} epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @conv_pool_extras(%x: tensor<1x8x8x4xf32>, %w: tensor<6x3x3x4xf32>, %b: tensor<6xf32>, %o: tensor<1x3x3x6xf32>) {
  // expected-error@+1 {{kernel.conv_pool needs an input, weights and the middle extras, not 3 operands}}
  %r = kernel.conv_pool ins(%x : tensor<1x8x8x4xf32>, %w : tensor<6x3x3x4xf32>, %b <offset 0, sizes [1, 6, 6, 6], strides [0, 0, 0, 1]> : tensor<6xf32>) outs(%o : tensor<1x3x3x6xf32>) {strides = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 1>, groups = 1 : i64, kind = #kernel<pool_kind max>, kernel = array<i64: 2, 2>, pool_strides = array<i64: 2, 2>, pool_padding = array<i64: 0, 0, 0, 0>, middle_extras = 2 : i64} middle {
  ^bb0(%acc: f32, %v: f32):
    kernel.yield %acc : f32
  } epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @conv_pool_middle(%x: tensor<1x8x8x4xf32>, %w: tensor<6x3x3x4xf32>, %b: tensor<6xf32>, %o: tensor<1x3x3x6xf32>) {
  // expected-error@+1 {{in 2 ranges over [1, 3, 3, 6], expected [1, 6, 6, 6]}}
  %r = kernel.conv_pool ins(%x : tensor<1x8x8x4xf32>, %w : tensor<6x3x3x4xf32>, %b <offset 0, sizes [1, 3, 3, 6], strides [0, 0, 0, 1]> : tensor<6xf32>) outs(%o : tensor<1x3x3x6xf32>) {strides = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 1>, groups = 1 : i64, kind = #kernel<pool_kind max>, kernel = array<i64: 2, 2>, pool_strides = array<i64: 2, 2>, pool_padding = array<i64: 0, 0, 0, 0>, middle_extras = 1 : i64} middle {
  ^bb0(%acc: f32, %v: f32):
    kernel.yield %acc : f32
  } epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @conv_pool_weights(%x: tensor<1x8x8x4xf32>, %w: tensor<5x3x3x4xf32>, %b: tensor<6xf32>, %o: tensor<1x3x3x6xf32>) {
  // expected-error@+1 {{weights [5, 3, 3, 4] are not those of output channels [6]}}
  %r = kernel.conv_pool ins(%x : tensor<1x8x8x4xf32>, %w : tensor<5x3x3x4xf32>, %b <offset 0, sizes [1, 6, 6, 6], strides [0, 0, 0, 1]> : tensor<6xf32>) outs(%o : tensor<1x3x3x6xf32>) {strides = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 1>, groups = 1 : i64, kind = #kernel<pool_kind max>, kernel = array<i64: 2, 2>, pool_strides = array<i64: 2, 2>, pool_padding = array<i64: 0, 0, 0, 0>, middle_extras = 1 : i64} middle {
  ^bb0(%acc: f32, %v: f32):
    kernel.yield %acc : f32
  } epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @conv_pool_window(%x: tensor<1x8x8x4xf32>, %w: tensor<6x3x3x4xf32>, %b: tensor<6xf32>, %o: tensor<1x3x3x6xf32>) {
  // expected-error@+1 {{kernel must be 2 numbers}}
  %r = kernel.conv_pool ins(%x : tensor<1x8x8x4xf32>, %w : tensor<6x3x3x4xf32>, %b <offset 0, sizes [1, 6, 6, 6], strides [0, 0, 0, 1]> : tensor<6xf32>) outs(%o : tensor<1x3x3x6xf32>) {strides = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 1>, groups = 1 : i64, kind = #kernel<pool_kind max>, kernel = array<i64: 2>, pool_strides = array<i64: 2, 2>, pool_padding = array<i64: 0, 0, 0, 0>, middle_extras = 1 : i64} middle {
  ^bb0(%acc: f32, %v: f32):
    kernel.yield %acc : f32
  } epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @conv_pool_padding(%x: tensor<1x8x8x4xf32>, %w: tensor<6x3x3x4xf32>, %b: tensor<6xf32>, %o: tensor<1x3x3x6xf32>) {
  // expected-error@+1 {{padding must be 4 numbers}}
  %r = kernel.conv_pool ins(%x : tensor<1x8x8x4xf32>, %w : tensor<6x3x3x4xf32>, %b <offset 0, sizes [1, 6, 6, 6], strides [0, 0, 0, 1]> : tensor<6xf32>) outs(%o : tensor<1x3x3x6xf32>) {strides = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilations = array<i64: 1, 1>, groups = 1 : i64, kind = #kernel<pool_kind max>, kernel = array<i64: 2, 2>, pool_strides = array<i64: 2, 2>, pool_padding = array<i64: 0, 0, 0, 0>, middle_extras = 1 : i64} middle {
  ^bb0(%acc: f32, %v: f32):
    kernel.yield %acc : f32
  } epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @conv_pool_strides(%x: tensor<1x8x8x4xf32>, %w: tensor<6x3x3x4xf32>, %b: tensor<6xf32>, %o: tensor<1x3x3x6xf32>) {
  // expected-error@+1 {{strides must be 1 or more, not [0, 1]}}
  %r = kernel.conv_pool ins(%x : tensor<1x8x8x4xf32>, %w : tensor<6x3x3x4xf32>, %b <offset 0, sizes [1, 6, 6, 6], strides [0, 0, 0, 1]> : tensor<6xf32>) outs(%o : tensor<1x3x3x6xf32>) {strides = array<i64: 0, 1>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 1>, groups = 1 : i64, kind = #kernel<pool_kind max>, kernel = array<i64: 2, 2>, pool_strides = array<i64: 2, 2>, pool_padding = array<i64: 0, 0, 0, 0>, middle_extras = 1 : i64} middle {
  ^bb0(%acc: f32, %v: f32):
    kernel.yield %acc : f32
  } epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @attention_rank(%q: tensor<3x8xf32>, %k: tensor<1x1x5x8xf32>, %o: tensor<1x1x3x8xf32>) {
  // expected-error@+1 {{attention needs q, k, v and a result of 4 dims each}}
  %r = kernel.attention ins(%q : tensor<3x8xf32>, %k : tensor<1x1x5x8xf32>, %k : tensor<1x1x5x8xf32>) outs(%o : tensor<1x1x3x8xf32>) score {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  }
  func.return
}

// -----

func.func @attention_depth(%q: tensor<1x1x3x8xf32>, %k: tensor<1x1x5x4xf32>, %o: tensor<1x1x3x4xf32>) {
  // expected-error@+1 {{q [1, 1, 3, 8], k [1, 1, 5, 4] and v [1, 1, 5, 4] do not fit}}
  %r = kernel.attention ins(%q : tensor<1x1x3x8xf32>, %k : tensor<1x1x5x4xf32>, %k : tensor<1x1x5x4xf32>) outs(%o : tensor<1x1x3x4xf32>) score {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  }
  func.return
}

// -----

func.func @attention_result(%q: tensor<1x1x3x8xf32>, %k: tensor<1x1x5x8xf32>, %o: tensor<1x1x5x8xf32>) {
  // expected-error@+1 {{the result ranges over [1, 1, 5, 8]}}
  %r = kernel.attention ins(%q : tensor<1x1x3x8xf32>, %k : tensor<1x1x5x8xf32>, %k : tensor<1x1x5x8xf32>) outs(%o : tensor<1x1x5x8xf32>) score {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  }
  func.return
}

// -----

func.func @rowwise_reduced(%x: tensor<4x8xf32>, %o: tensor<4x8xf32>) {
  // expected-error@+1 {{reduced must be 1 to 2}}
  %r = kernel.rowwise ins(%x : tensor<4x8xf32>) outs(%o : tensor<4x8xf32>) {kind = #kernel<rowwise_kind softmax>, reduced = 3 : i64} prologue {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  } epilogue {
  ^bb0(%y: f32, %v: f32, %in: f32):
    kernel.yield %y : f32
  }
  func.return
}

// -----

func.func @reduce_nothing(%x: tensor<4xf32>, %o: tensor<4xf32>) {
  // expected-error@+1 {{a reduction needs an operand to reduce}}
  %r = kernel.reduce ins(%x : tensor<4xf32>) outs(%o : tensor<4xf32>) {kind = #kernel<reduce_kind sum>, reduced = 1 : i64, extras = 1 : i64} prologue {
  ^bb0:
    %0 = arith.constant 0.000000e+00 : f32
    kernel.yield %0 : f32
  } epilogue {
  ^bb0(%s: f32, %v: f32):
    kernel.yield %s : f32
  }
  func.return
}

// -----

func.func @reduce_domain(%x: tensor<4x8xf32>, %o: tensor<8xf32>) {
  // expected-error@+1 {{keeping 1 dims of [4, 8] does not give [8]}}
  %r = kernel.reduce ins(%x : tensor<4x8xf32>) outs(%o : tensor<8xf32>) {kind = #kernel<reduce_kind sum>, reduced = 1 : i64, extras = 0 : i64} prologue {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  } epilogue {
  ^bb0(%s: f32):
    kernel.yield %s : f32
  }
  func.return
}

// -----

func.func @gather_indices(%t: tensor<10x4xf32>, %o: tensor<3x4xf32>) {
  // expected-error@+1 {{a gather needs a table and indices}}
  %r = kernel.gather ins(%t : tensor<10x4xf32>) outs(%o : tensor<3x4xf32>) epilogue {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  }
  func.return
}

// -----

func.func @gather_features(%t: tensor<10x4xf32>, %i: tensor<3xi64>, %o: tensor<3x5xf32>) {
  // expected-error@+1 {{in 0 ranges over [10, 4], expected [10, 5]}}
  %r = kernel.gather ins(%t : tensor<10x4xf32>, %i : tensor<3xi64>) outs(%o : tensor<3x5xf32>) epilogue {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  }
  func.return
}

// -----

func.func @pool_kind(%x: tensor<1x8x8x4xf32>, %o: tensor<1x4x4x4xf32>) {
  // expected-error@+1 {{Expected `max`, or `average`.}}
  %r = kernel.pool ins(%x : tensor<1x8x8x4xf32>) outs(%o : tensor<1x4x4x4xf32>) {kind = #kernel<pool_kind median>, kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 1>} epilogue {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  }
  func.return
}

// -----

func.func @resize_mode(%x: tensor<1x4x4x2xf32>, %o: tensor<1x8x8x2xf32>) {
  // expected-error@+1 {{property 'coordinates' expected}}
  %r = kernel.resize ins(%x : tensor<1x4x4x2xf32>) outs(%o : tensor<1x8x8x2xf32>) {mode = #kernel<resize_mode nearest>} epilogue {
  ^bb0(%v: f32):
    kernel.yield %v : f32
  }
  func.return
}

// -----

func.func @group_of_one(%x: memref<4xf32>, %y: memref<4xf32>) {
  // expected-error@+1 {{a group needs two members}}
  kernel.group {
    kernel.copy ins(%x : memref<4xf32>) outs(%y : memref<4xf32>)
  }
  func.return
}

// -----

func.func @group_of_tensors(%x: tensor<4xf32>, %y: tensor<4xf32>) {
  // expected-error@+1 {{a group holds kernels on buffers only}}
  kernel.group {
    %0 = kernel.copy ins(%x : tensor<4xf32>) outs(%y : tensor<4xf32>)
    %1 = kernel.copy ins(%x : tensor<4xf32>) outs(%y : tensor<4xf32>)
  }
  func.return
}

// -----

func.func @group_in_order(%x: memref<4xf32>, %y: memref<4xf32>, %z: memref<4xf32>) {
  // expected-error@+1 {{the order of kernel.copy in the group may matter}}
  kernel.group {
    kernel.copy ins(%x : memref<4xf32>) outs(%y : memref<4xf32>)
    kernel.copy ins(%y : memref<4xf32>) outs(%z : memref<4xf32>)
  }
  func.return
}

// -----

func.func @conv_padding(%x: tensor<1x8x8x4xf32>, %w: tensor<6x3x3x4xf32>, %o: tensor<1x6x6x6xf32>) {
  // expected-error@+1 {{padding must be 4 numbers}}
  %r = kernel.conv ins(%x : tensor<1x8x8x4xf32>, %w : tensor<6x3x3x4xf32>) outs(%o : tensor<1x6x6x6xf32>) {strides = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilations = array<i64: 1, 1>, groups = 1 : i64} epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @conv_dilations(%x: tensor<1x8x8x4xf32>, %w: tensor<6x3x3x4xf32>, %o: tensor<1x6x6x6xf32>) {
  // expected-error@+1 {{dilations must be 1 or more, not [1, 0]}}
  %r = kernel.conv ins(%x : tensor<1x8x8x4xf32>, %w : tensor<6x3x3x4xf32>) outs(%o : tensor<1x6x6x6xf32>) {strides = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 0>, groups = 1 : i64} epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @pool_kernel(%x: tensor<1x8x8x4xf32>, %o: tensor<1x4x4x4xf32>) {
  // expected-error@+1 {{kernel must be 2 numbers}}
  %r = kernel.pool ins(%x : tensor<1x8x8x4xf32>) outs(%o : tensor<1x4x4x4xf32>) {kind = #kernel<pool_kind max>, kernel = array<i64: 2>, strides = array<i64: 2, 2>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 1>} epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}

// -----

func.func @pool_strides(%x: tensor<1x8x8x4xf32>, %o: tensor<1x4x4x4xf32>) {
  // expected-error@+1 {{strides must be 1 or more, not [0, 2]}}
  %r = kernel.pool ins(%x : tensor<1x8x8x4xf32>) outs(%o : tensor<1x4x4x4xf32>) {kind = #kernel<pool_kind max>, kernel = array<i64: 2, 2>, strides = array<i64: 0, 2>, padding = array<i64: 0, 0, 0, 0>, dilations = array<i64: 1, 1>} epilogue {
  ^bb0(%acc: f32):
    kernel.yield %acc : f32
  }
  func.return
}
