// RUN: ait-opt %s --split-input-file --verify-diagnostics

func.func @rank(%q: tensor<4x8x16xf32>) {
  // expected-error@+1 {{q [4, 8, 16] must have rank 4}}
  %r = graph.attention %q, %q, %q {scale = 0.25} : tensor<4x8x16xf32>
  func.return
}

// -----

func.func @batch(%q: tensor<2x4x8x16xf32>, %k: tensor<1x4x8x16xf32>) {
  // expected-error@+1 {{q [2, 4, 8, 16] and k [1, 4, 8, 16] differ in their batches: 2 against 1}}
  %r = graph.attention %q, %k, %k {scale = 0.25} : (tensor<2x4x8x16xf32>, tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>) -> tensor<2x4x8x16xf32>
  func.return
}

// -----

func.func @head_dims(%q: tensor<2x4x8x16xf32>, %k: tensor<2x4x8x32xf32>) {
  // expected-error@+1 {{q [2, 4, 8, 16] and k [2, 4, 8, 32] differ in their head dims: 16 against 32}}
  %r = graph.attention %q, %k, %k {scale = 0.25} : (tensor<2x4x8x16xf32>, tensor<2x4x8x32xf32>, tensor<2x4x8x32xf32>) -> tensor<2x4x8x32xf32>
  func.return
}

// -----

func.func @values(%q: tensor<2x4x8x16xf32>, %v: tensor<2x4x7x16xf32>) {
  // expected-error@+1 {{k [2, 4, 8, 16] and v [2, 4, 7, 16] must agree in batch, heads and length}}
  %r = graph.attention %q, %q, %v {scale = 0.25} : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>, tensor<2x4x7x16xf32>) -> tensor<2x4x8x16xf32>
  func.return
}

// -----

func.func @heads(%q: tensor<2x4x8x16xf32>, %k: tensor<2x3x8x16xf32>) {
  // expected-error@+1 {{the heads of q [2, 4, 8, 16] are not a multiple of the heads of k [2, 3, 8, 16]}}
  %r = graph.attention %q, %k, %k {scale = 0.25} : (tensor<2x4x8x16xf32>, tensor<2x3x8x16xf32>, tensor<2x3x8x16xf32>) -> tensor<2x4x8x16xf32>
  func.return
}

// -----

func.func @mask_shape(%q: tensor<2x4x8x16xf32>, %m: tensor<8x7xf32>) {
  // expected-error@+1 {{do not broadcast: 7 against 8 in dim -1}}
  %r = graph.attention %q, %q, %q, %m {scale = 0.25} : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>, tensor<8x7xf32>) -> tensor<2x4x8x16xf32>
  func.return
}

// -----

func.func @mask_larger(%q: tensor<2x4x1x16xf32>, %k: tensor<2x4x8x16xf32>, %m: tensor<8x8xi1>) {
  // expected-error@+1 {{mask [8, 8] does not broadcast to the scores [2, 4, 1, 8]}}
  %r = graph.attention %q, %k, %k, %m {scale = 0.25} : (tensor<2x4x1x16xf32>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>, tensor<8x8xi1>) -> tensor<2x4x1x16xf32>
  func.return
}

// -----

func.func @mask_elements(%q: tensor<2x4x8x16xf32>, %m: tensor<8x8xi32>) {
  // expected-error@+1 {{mask has elements i32, not a float type or i1}}
  %r = graph.attention %q, %q, %q, %m {scale = 0.25} : (tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>, tensor<2x4x8x16xf32>, tensor<8x8xi32>) -> tensor<2x4x8x16xf32>
  func.return
}

// -----

func.func @scale(%q: tensor<2x4x8x16xf32>) {
  // expected-error@+1 {{property 'scale' expected}}
  %r = graph.attention %q, %q, %q : tensor<2x4x8x16xf32>
  func.return
}
