// RUN: ait-opt %s --split-input-file --verify-diagnostics

func.func @concat_nothing() {
  // expected-error@+1 {{needs at least one input}}
  %r = graph.concat {axis = 0} : tensor<4xf32>
  func.return
}

// -----

func.func @concat_dims(%x: tensor<2x4xf32>, %y: tensor<3x4xf32>) {
  // expected-error@+1 {{inputs[0] [2, 4] and inputs[1] [3, 4] differ in more than dim 1}}
  %r = graph.concat %x, %y {axis = 1} : (tensor<2x4xf32>, tensor<3x4xf32>) -> tensor<2x8xf32>
  func.return
}

// -----

func.func @concat_elements(%x: tensor<4xf32>, %y: tensor<4xi32>) {
  // expected-error@+1 {{inputs[0] has elements f32 but inputs[1] i32: cast one of them}}
  %r = graph.concat %x, %y {axis = 0} : (tensor<4xf32>, tensor<4xi32>) -> tensor<8xf32>
  func.return
}

// -----

func.func @split(%x: tensor<8xf32>) {
  // expected-error@+1 {{sizes [3, 4] add up to 7, but dim 0 of x [8] is 8}}
  %r0, %r1 = graph.split %x {axis = 0} : (tensor<8xf32>) -> (tensor<3xf32>, tensor<4xf32>)
  func.return
}

// -----

func.func @split_dims(%x: tensor<8x2xf32>) {
  // expected-error@+1 {{the result is tensor<3x2xf32>, tensor<5x1xf32>, but operands and properties give tensor<3x2xf32>, tensor<5x2xf32>}}
  %r0, %r1 = graph.split %x {axis = 0} : (tensor<8x2xf32>) -> (tensor<3x2xf32>, tensor<5x1xf32>)
  func.return
}

// -----

func.func @slice_counts(%x: tensor<8x2xf32>) {
  // expected-error@+1 {{offsets, sizes and steps must have one entry for each dim of x [8, 2]}}
  %r = graph.slice %x {offsets = [0], steps = [1]} : (tensor<8x2xf32>) -> tensor<4x2xf32>
  func.return
}

// -----

func.func @slice_step(%x: tensor<8xf32>) {
  // expected-error@+1 {{the step in dim 0 must not be 0}}
  %r = graph.slice %x {offsets = [0], steps = [0]} : (tensor<8xf32>) -> tensor<4xf32>
  func.return
}

// -----

func.func @slice_end(%x: tensor<8xf32>) {
  // expected-error@+1 {{x [8]: 4 elements from 2 in steps of 2 are not certain to lie inside dim 0, of extent 8}}
  %r = graph.slice %x {offsets = [2], steps = [2]} : (tensor<8xf32>) -> tensor<4xf32>
  func.return
}

// -----

func.func @slice_begin(%x: tensor<8xf32>) {
  // expected-error@+1 {{x [8]: 4 elements from 2 in steps of -1 are not certain to lie inside dim 0, of extent 8}}
  %r = graph.slice %x {offsets = [2], steps = [-1]} : (tensor<8xf32>) -> tensor<4xf32>
  func.return
}

// -----

func.func @slice_symbol(%x: tensor<?xf32, #sym.dims<[s], s in [1, 8]>>) {
  // expected-error@+1 {{x [s]: 2 elements from 0 in steps of 1 are not certain to lie inside dim 0, of extent s}}
  %r = graph.slice %x {offsets = [0], steps = [1]} : (tensor<?xf32, #sym.dims<[s], s in [1, 8]>>) -> tensor<2xf32>
  func.return
}

// -----

func.func @reshape(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{x [2, 3] has 6 elements, but [7] has 7}}
  %r = graph.reshape %x : (tensor<2x3xf32>) -> tensor<7xf32>
  func.return
}

// -----

func.func @reshape_symbol(%x: tensor<?xf32, #sym.dims<[s], s in [1, 8]>>) {
  // expected-error@+1 {{x [s] has s elements, but [8] has 8}}
  %r = graph.reshape %x : (tensor<?xf32, #sym.dims<[s], s in [1, 8]>>) -> tensor<8xf32>
  func.return
}

// -----

func.func @reshape_elements(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{the result is tensor<6xf16>, but operands and properties give tensor<6xf32>}}
  %r = graph.reshape %x : (tensor<2x3xf32>) -> tensor<6xf16>
  func.return
}

// -----

func.func @expand(%x: tensor<2xf32>) {
  // expected-error@+1 {{x [2] and dims [2, 3] do not broadcast: 2 against 3 in dim -1}}
  %r = graph.expand %x : (tensor<2xf32>) -> tensor<2x3xf32>
  func.return
}

// -----

func.func @expand_rank(%x: tensor<1x3xf32>) {
  // expected-error@+1 {{x [1, 3] does not broadcast to [3]}}
  %r = graph.expand %x : (tensor<1x3xf32>) -> tensor<3xf32>
  func.return
}

// -----

func.func @permute(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{permutation = [0, 0] does not order the dims of x [2, 3]}}
  %r = graph.permute %x {permutation = [0, 0]} : (tensor<2x3xf32>) -> tensor<2x2xf32>
  func.return
}

// -----

func.func @pad_negative(%x: tensor<4xf32>) {
  // expected-error@+1 {{low and high must not be negative: use graph.slice to cut}}
  %r = graph.pad %x {low = [-1], high = [0], value = 0.0} : (tensor<4xf32>) -> tensor<3xf32>
  func.return
}

// -----

func.func @pad_counts(%x: tensor<4xf32>) {
  // expected-error@+1 {{low and high must have one entry for each dim of x [4]}}
  %r = graph.pad %x {low = [1, 1], high = [0], value = 0.0} : (tensor<4xf32>) -> tensor<5xf32>
  func.return
}

// -----

func.func @pad_value(%x: tensor<4xi8>) {
  // expected-error@+1 {{value = 0.5 does not fit elements i8}}
  %r = graph.pad %x {low = [1], high = [0], value = 0.5} : (tensor<4xi8>) -> tensor<5xi8>
  func.return
}

// -----

func.func @gather(%x: tensor<4xf32>, %i: tensor<2xf32>) {
  // expected-error@+1 {{indices has elements f32, not i32 or i64}}
  %r = graph.gather %x, %i {axis = 0} : (tensor<4xf32>, tensor<2xf32>) -> tensor<2xf32>
  func.return
}

// -----

func.func @gather_axis(%x: tensor<4xf32>, %i: tensor<2xi64>) {
  // expected-error@+1 {{axis = 1 is outside [0, 1)}}
  %r = graph.gather %x, %i {axis = 1} : (tensor<4xf32>, tensor<2xi64>) -> tensor<2xf32>
  func.return
}
