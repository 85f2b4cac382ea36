// RUN: ait-opt %s --split-input-file --verify-diagnostics

func.func @view_sizes(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{the map's sizes give tensor<3x2xf32>, the result is tensor<2x3xf32>}}
  %v = accessor.view %x <offset 0, sizes [3, 2], strides [1, 3]> : tensor<2x3xf32> -> tensor<2x3xf32>
  func.return
}

// -----

func.func @view_element(%x: tensor<2xf32>) {
  // expected-error@+1 {{the map's sizes give tensor<2xf32>, the result is tensor<2xf16>}}
  %v = accessor.view %x <offset 0, sizes [2], strides [1]> : tensor<2xf32> -> tensor<2xf16>
  func.return
}

// -----

func.func @view_behind(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{the view reaches elements 4 to 6 of a storage of 6}}
  %v = accessor.view %x <offset 4, sizes [3], strides [1]> : tensor<2x3xf32> -> tensor<3xf32>
  func.return
}

// -----

func.func @view_before(%x: tensor<4xf32>) {
  // expected-error@+1 {{the view reaches elements -1 to 1 of a storage of 4}}
  %v = accessor.view %x <offset 1, sizes [3], strides [-1]> : tensor<4xf32> -> tensor<3xf32>
  func.return
}

// -----

func.func @view_rank(%x: tensor<4xf32>) {
  // expected-error@+1 {{an access map needs one stride per size}}
  %v = accessor.view %x <offset 0, sizes [2, 2], strides [1]> : tensor<4xf32> -> tensor<2x2xf32>
  func.return
}

// -----

func.func @view_symbol(%x: tensor<4xf32>) {
  // expected-error@+1 {{dim 'n' has no bounds: add ', n in [low, high]'}}
  %v = accessor.view %x <offset 0, sizes [n], strides [1]> : tensor<4xf32> -> tensor<4xf32>
  func.return
}

// -----

func.func @materialize(%x: tensor<4xf32>) {
  // expected-error@+1 {{attribute tensor<4xf32> expected from variable 'T', but got tensor<4xf16>}}
  %m = "accessor.materialize"(%x) : (tensor<4xf32>) -> tensor<4xf16>
  func.return
}

// -----

func.func @assemble_count(%x: tensor<2xf32>) {
  // expected-error@+1 {{1 pieces but 0 maps}}
  %a = accessor.assemble %x {maps = []} : (tensor<2xf32>) -> tensor<2xf32>
  func.return
}

// -----

func.func @assemble_element(%x: tensor<2xf32>) {
  // expected-error@+1 {{piece 0 is tensor<2xf32>, the result tensor<2xf16>}}
  %a = accessor.assemble %x {maps = [#accessor.map<offset 0, sizes [2], strides [1]>]} : (tensor<2xf32>) -> tensor<2xf16>
  func.return
}

// -----

func.func @assemble_sizes(%x: tensor<2xf32>) {
  // expected-error@+1 {{piece 0 is tensor<2xf32>, its map has offset 0, sizes [3], strides [1]}}
  %a = accessor.assemble %x {maps = [#accessor.map<offset 0, sizes [3], strides [1]>]} : (tensor<2xf32>) -> tensor<3xf32>
  func.return
}

// -----

func.func @assemble_bounds(%x: tensor<2xf32>) {
  // expected-error@+1 {{piece 0 reaches elements 1 to 2 of a storage of 2}}
  %a = accessor.assemble %x {maps = [#accessor.map<offset 1, sizes [2], strides [1]>]} : (tensor<2xf32>) -> tensor<2xf32>
  func.return
}

// -----

func.func @assemble_hole(%x: tensor<2xf32>) {
  // expected-error@+1 {{pieces cover 2 of 3 elements and there is no fill}}
  %a = accessor.assemble %x {maps = [#accessor.map<offset 0, sizes [2], strides [1]>]} : (tensor<2xf32>) -> tensor<3xf32>
  func.return
}
