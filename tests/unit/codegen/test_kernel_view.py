from collections.abc import Callable

import pytest
from xdsl.dialects.builtin import ModuleOp

from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import split_offset
from ait.dialects.kernel import KernelOp
from ait.dialects.symbolic import Dim, symbol

View = Callable[[str, str], KernelView]
Parse = Callable[[str], ModuleOp]

ADD = """{
  ^bb0(%acc : f32, %bias : f32):
    %r = arith.addf %acc, %bias : f32
    kernel.yield %r : f32
  }"""


def linear(view: View, x: str = "memref<4x8x64xf32>", rows: str = "4, 8") -> KernelView:
    """x [4, 8, 64] @ w [32, 64]^T + b [32]."""
    return view(
        f"%x: {x}, %w: memref<32x64xf32>, %b: memref<32xf32>, %o: memref<4x8x32xf32>",
        f"""kernel.gemm ins(%x : {x},
            %w <offset 0, sizes [64, 32], strides [1, 64]> : memref<32x64xf32>,
            %b <offset 0, sizes [{rows}, 32], strides [0, 0, 1]> : memref<32xf32>)
            outs(%o : memref<4x8x32xf32>) {{groups = array<i64: 0, 2, 1, 1>}} epilogue {ADD}""",
    )


def pointwise(view: View, x: str, o: str, arguments: str = "") -> KernelView:
    """A pointwise op from %x to %o, both given with their maps."""
    arguments = arguments or "%x: memref<1024xf32>, %o: memref<1024xf32>"
    body = "{ ^bb0(%v : f32): %r = math.exp %v : f32 kernel.yield %r : f32 }"
    return view(arguments, f"kernel.pointwise ins(%x {x}) outs(%o {o}) body {body}")


def test_rows_of_a_linear_become_one_axis(view: View) -> None:
    gemm = linear(view)
    a, b, bias, out = gemm.operands
    assert [axis.name for axis in gemm.axes] == ["m", "n", "k"]
    assert [gemm.group(name).size for name in ("batch", "m", "n", "k")] == ["1", "32", "32", "64"]
    assert a.offset() == "m * 64 + k"
    assert b.offset() == "k + n * 64"
    assert bias.offset() == "n"
    assert out.offset(m="row", n="column") == "row * 32 + column"
    assert (a.stride("k"), b.stride("k"), bias.stride("m")) == (1, 1, 0)
    assert [o.name for o in gemm.operands] == ["a", "b", "extra0", "out"]
    assert gemm.extras == (bias,)


def test_declarations_and_region(view: View) -> None:
    gemm = linear(view)
    assert gemm.prologue == [
        "const float* __restrict a = static_cast<const float*>(pointers[0]);",
        "const float* __restrict b = static_cast<const float*>(pointers[1]);",
        "const float* __restrict extra0 = static_cast<const float*>(pointers[2]);",
        "float* __restrict out = static_cast<float*>(pointers[3]);",
    ]
    epilogue = gemm.region("epilogue")
    assert [scalar.text for scalar in epilogue.computed] == ["v_acc"]
    assert epilogue.statements() == [
        "const float v_bias = ait::load<float>(extra0, n);",
        "const float v_r = v_acc + v_bias;",
    ]
    assert gemm.outs[0].store(epilogue.results[0].text) == "ait::store(out, m * 32 + n, v_r);"


def test_heads_are_taken_apart_only_where_an_operand_needs_it(view: View) -> None:
    gemm = view(
        "%x: memref<2x16x64xf16>, %w: memref<64x128xf16>, %o: memref<2x4x16x32xf16>",
        """kernel.gemm ins(%x : memref<2x16x64xf16>,
           %w <offset 0, sizes [64, 4, 32], strides [128, 32, 1]> : memref<64x128xf16>)
           outs(%o <offset 0, sizes [2, 16, 4, 32], strides [2048, 32, 512, 1]>
             : memref<2x4x16x32xf16>)
           {groups = array<i64: 0, 2, 2, 1>}
           epilogue { ^bb0(%acc : f32): kernel.yield %acc : f32 }""",
    )
    a, b, out = gemm.operands
    assert [axis.name for axis in gemm.axes] == ["m0", "m1", "n0", "n1", "k"]
    assert a.offset(m="m", k="k") == "m * 64 + k"
    assert b.offset(k="k", n="n") == "k * 128 + n"
    assert out.offset(m="m", n="n") == "(m / 16) * 2048 + (m % 16) * 32 + (n / 32) * 512 + n % 32"
    assert out.offset() == "m0 * 2048 + m1 * 32 + n0 * 512 + n1"
    assert out.offset(n0="h", n1="d") == "m0 * 2048 + m1 * 32 + h * 512 + d"
    assert (a.stride("m"), b.stride("n"), out.stride("m"), out.stride("n1")) == (64, 1, None, 1)
    assert gemm.region("epilogue").is_identity


def test_three_axes_and_a_broadcast_one(view: View) -> None:
    kernel = pointwise(
        view,
        "<offset 4, sizes [2, 3, 5], strides [1, 0, 7]> : memref<1024xf32>",
        "<offset 0, sizes [2, 3, 5], strides [100, 10, 1]> : memref<1024xf32>",
    )
    x, out = kernel.operands
    assert x.offset(i="t") == "4 + t / 15 + (t % 5) * 7"
    assert out.offset(i="t") == "(t / 15) * 100 + ((t / 5) % 3) * 10 + t % 5"


def test_dense_pointwise_is_one_loop_whatever_its_rank(view: View) -> None:
    kernel = pointwise(
        view,
        ": memref<2x3x5xf32>",
        ": memref<2x3x5xf32>",
        "%x: memref<2x3x5xf32>, %o: memref<2x3x5xf32>",
    )
    (axis,) = kernel.axes
    assert (axis.name, axis.size) == ("i", "30")
    assert all(operand.offset() == "i" for operand in kernel.operands)


def test_axes_follow_the_result_in_memory(view: View) -> None:
    """Transposing the domain changes nothing: the innermost axis writes neighbours."""
    plain = pointwise(
        view,
        "<offset 0, sizes [8, 16], strides [1, 8]> : memref<1024xf32>",
        "<offset 0, sizes [8, 16], strides [16, 1]> : memref<1024xf32>",
    )
    swapped = pointwise(
        view,
        "<offset 0, sizes [16, 8], strides [8, 1]> : memref<1024xf32>",
        "<offset 0, sizes [16, 8], strides [1, 16]> : memref<1024xf32>",
    )
    assert plain.key == swapped.key
    assert swapped.outs[0].offset() == "i0 * 16 + i1"


def test_an_index_keeps_its_axis_apart(view: View) -> None:
    kernel = view(
        "%o: memref<4x8xi64>",
        """kernel.pointwise ins() outs(%o : memref<4x8xi64>) body {
             %0 = kernel.index <offset 0, sizes [4, 8], strides [0, 1]>
             kernel.yield %0 : i64
           }""",
    )
    assert [axis.name for axis in kernel.axes] == ["i0", "i1"]
    assert kernel.region("body").statements() == ["const int64_t v_index_0 = i1;"]


def test_a_linear_index_merges_with_its_operands(view: View) -> None:
    kernel = view(
        "%o: memref<4x8xi64>",
        """kernel.pointwise ins() outs(%o : memref<4x8xi64>) body {
             %0 = kernel.index <offset 5, sizes [4, 8], strides [8, 1]>
             kernel.yield %0 : i64
           }""",
    )
    assert kernel.region("body").statements() == ["const int64_t v_index_0 = 5 + i;"]


DYNAMIC = "memref<?x?x384xf32, #sym.dims<[batch, seq, 384], batch in [1, 64], seq in [1, 256]>>"


def test_symbolic_dims_become_extents_with_literal_factors(view: View) -> None:
    kernel = view(
        f"%x: {DYNAMIC}, %o: {DYNAMIC}",
        f"""kernel.pointwise ins(%x <offset batch * 4, sizes [batch, seq, 128],
              strides [seq * 384, 384, 1], batch in [1, 64], seq in [1, 256]> : {DYNAMIC})
            outs(%o <offset 0, sizes [batch, seq, 128], strides [seq * 128, 128, 1],
              batch in [1, 64], seq in [1, 256]> : {DYNAMIC})
            body {{ ^bb0(%v : f32): kernel.yield %v : f32 }}""",
    )
    x, out = kernel.operands
    assert [axis.size for axis in kernel.axes] == ["dim_batch_seq", "128"]
    assert x.offset() == "dim_batch * 4 + i0 * 384 + i1"
    assert [(e.name, str(e.dim), e.upper) for e in kernel.extents] == [
        ("dim_batch_seq", "batch * seq", 64 * 256),
        ("dim_batch", "batch", 64),
    ]
    assert out.alignment("i1") == 64
    assert (x.alignment("i1"), x.vector("i1", 64), x.vector("i1", 8)) == (16, 4, 2)
    assert kernel.prologue[-2:] == [
        "const int64_t dim_batch_seq = extents[0];",
        "const int64_t dim_batch = extents[1];",
    ]


def test_alignment_and_vectors_are_proved(view: View) -> None:
    kernel = pointwise(
        view,
        "<offset 2, sizes [8, 6], strides [10, 1]> : memref<1024xf32>",
        "<offset 0, sizes [8, 6], strides [6, 1]> : memref<1024xf32>",
    )
    x, out = kernel.operands
    assert (x.alignment("i1"), out.alignment("i1")) == (8, 8)
    assert (x.vector("i1", 16), out.vector("i1", 16)) == (2, 2)
    assert x.vector("i0", 16) == 1
    assert out.is_contiguous("i") and not x.is_contiguous("i")


def test_operands_in_one_memory_are_not_restricted(parse: Parse) -> None:
    module = parse("""
      func.func @main(%x: memref<8xf32>) {
        %a = kernel.buffer slot 0 : memref<8xf32>
        %b = kernel.buffer slot 0 : memref<8xf32>
        kernel.pointwise ins(%x : memref<8xf32>, %a : memref<8xf32>) outs(%b : memref<8xf32>)
          body { ^bb0(%0 : f32, %1 : f32): kernel.yield %1 : f32 }
        func.return
      }""")
    (op,) = (op for op in module.walk() if isinstance(op, KernelOp))
    x, a, b = KernelView(op).operands
    assert (x.shared, a.shared, b.shared) == ((), (2,), (1,))
    assert "__restrict" in x.declaration
    assert "__restrict" not in a.declaration + b.declaration


def test_reading_one_buffer_twice_is_no_conflict(view: View) -> None:
    kernel = view(
        "%x: memref<8xf32>, %o: memref<8xf32>",
        """kernel.pointwise ins(%x : memref<8xf32>, %x : memref<8xf32>) outs(%o : memref<8xf32>)
           body { ^bb0(%0 : f32, %1 : f32): kernel.yield %1 : f32 }""",
    )
    assert all(operand.shared == () for operand in kernel.operands)


def test_rowwise_and_reduce(view: View) -> None:
    norm = view(
        "%x: memref<4x8x64xf32>, %g: memref<64xf32>, %o: memref<4x8x64xf32>",
        """kernel.rowwise ins(%x : memref<4x8x64xf32>,
             %g <offset 0, sizes [4, 8, 64], strides [0, 0, 1]> : memref<64xf32>)
           outs(%o : memref<4x8x64xf32>)
           {kind = #kernel<rowwise_kind layer_norm>, reduced = 1 : i64, eps = 1.0e-05 : f64}
           prologue { ^bb0(%a : f32, %g0 : f32): kernel.yield %a : f32 }
           epilogue { ^bb0(%y : f32, %v : f32, %a : f32, %g0 : f32):
             %r = arith.mulf %y, %g0 : f32 kernel.yield %r : f32 }""",
    )
    assert [axis.name for axis in norm.axes] == ["row", "col"]
    assert norm.attribute("kind") == "layer_norm"
    assert norm.attribute("eps") == 1e-5
    assert norm.region("prologue").statements() == [
        "const float p_a = ait::load<float>(in0, row * 64 + col);"
    ]
    assert [s.text for s in norm.region("epilogue").computed] == ["v_y", "v_v"]
    assert norm.region("epilogue").loads() == ["const float v_g0 = ait::load<float>(in1, col);"]
    total = view(
        "%x: memref<4x8x64xf32>, %e: memref<4x64xf32>, %o: memref<4x64xf32>",
        """kernel.reduce ins(
             %x <offset 0, sizes [4, 64, 8], strides [512, 1, 64]> : memref<4x8x64xf32>,
             %e : memref<4x64xf32>) outs(%o : memref<4x64xf32>)
           {kind = #kernel<reduce_kind sum>, reduced = 1 : i64, extras = 1 : i64}
           prologue { ^bb0(%a : f32): kernel.yield %a : f32 }
           epilogue { ^bb0(%t : f32, %b : f32):
             %r = arith.addf %t, %b : f32 kernel.yield %r : f32 }""",
    )
    assert [o.name for o in total.operands] == ["in0", "extra0", "out"]
    assert [axis.name for axis in total.axes] == ["keep0", "keep1", "red"]
    assert total.region("prologue").loaded[0][1].offset() == "keep0 * 512 + keep1 + red * 64"
    assert total.region("epilogue").loads() == [
        "const float v_b = ait::load<float>(extra0, keep0 * 64 + keep1);"
    ]
    assert total.symbol.startswith("reduce_sum_addf_256x8_")


def test_gather(view: View) -> None:
    kernel = view(
        "%t: memref<100x16xf32>, %i: memref<2x3xi64>, %o: memref<2x3x16xf32>",
        """kernel.gather ins(%t : memref<100x16xf32>, %i : memref<2x3xi64>)
           outs(%o : memref<2x3x16xf32>)
           epilogue { ^bb0(%v : f32): kernel.yield %v : f32 }""",
    )
    table, indices, out = kernel.operands
    assert [axis.name for axis in kernel.axes] == ["i", "f", "entry"]
    assert table.offset(entry="row") == "row * 16 + f"
    assert indices.load() == "ait::load<int64_t>(indices, i)"
    assert out.offset() == "i * 16 + f"


def test_conv_attention_and_pool_have_named_axes(view: View) -> None:
    conv = view(
        "%x: memref<2x8x8x16xf32>, %w: memref<32x3x3x16xf32>, %o: memref<2x8x8x32xf32>",
        """kernel.conv ins(%x : memref<2x8x8x16xf32>, %w : memref<32x3x3x16xf32>)
           outs(%o : memref<2x8x8x32xf32>) {strides = array<i64: 1, 1>,
             padding = array<i64: 1, 1, 1, 1>, dilations = array<i64: 1, 1>, groups = 1 : i64}
           epilogue { ^bb0(%v : f32): kernel.yield %v : f32 }""",
    )
    x, w, out = conv.operands
    assert x.offset() == "n * 1024 + h * 128 + w * 16 + c"
    assert w.offset() == "o * 144 + r * 48 + s * 16 + g"
    assert out.offset() == "n * 2048 + p * 256 + q * 32 + o"
    assert conv.attribute("padding") == [1, 1, 1, 1]
    attention = view(
        "%q: memref<2x4x8x16xf16>, %k: memref<2x2x9x16xf16>, %v: memref<2x2x9x32xf16>, "
        "%o: memref<2x4x8x32xf16>",
        """kernel.attention ins(%q : memref<2x4x8x16xf16>, %k : memref<2x2x9x16xf16>,
             %v : memref<2x2x9x32xf16>) outs(%o : memref<2x4x8x32xf16>) {causal}
           score { ^bb0(%s : f32): kernel.yield %s : f32 }""",
    )
    query, keys, values, out = attention.operands
    assert keys.offset() == "batch * 288 + group * 144 + col * 16 + depth"
    assert values.offset() == "batch * 576 + group * 288 + col * 32 + value"
    assert out.offset() == "batch * 1024 + head * 256 + row * 32 + value"
    assert attention.attribute("causal", False) is True
    assert query.type == "ait::half_t"


def test_a_single_element_needs_no_axis(view: View) -> None:
    kernel = pointwise(
        view,
        "<offset 7, sizes [1, 1], strides [0, 0]> : memref<1024xf32>",
        "<offset 0, sizes [1, 1], strides [0, 0]> : memref<1024xf32>",
    )
    assert kernel.axes == ()
    assert kernel.group("i").size == "1"
    assert kernel.ins[0].offset(i="i") == "7"
    assert kernel.outs[0].offset() == "0"


def test_a_reversed_operand_walks_backwards(view: View) -> None:
    kernel = pointwise(
        view,
        "<offset 9, sizes [10], strides [-1]> : memref<1024xf32>",
        "<offset 0, sizes [10], strides [1]> : memref<1024xf32>",
    )
    assert kernel.ins[0].offset() == "9 - i"


def test_equal_kernels_have_equal_keys_and_symbols(view: View) -> None:
    one, two = linear(view), linear(view)
    assert one.key == two.key
    assert one.symbol == two.symbol
    assert one.symbol.startswith("gemm_addf_32x32x64_")


def test_names_do_not_matter_but_all_else_does(view: View) -> None:
    one = pointwise(view, ": memref<1024xf32>", ": memref<1024xf32>")
    body = "{ ^bb0(%other : f32): %s = math.exp %other : f32 kernel.yield %s : f32 }"
    renamed = view(
        "%y: memref<1024xf32>, %z: memref<1024xf32>",
        f"""kernel.pointwise ins(%y : memref<1024xf32>) outs(%z : memref<1024xf32>)
            {{source = "some.layer"}} body {body}""",
    )
    assert (one.key, one.symbol) == (renamed.key, renamed.symbol)
    for change in (
        ("exp", "tanh", "1024xf32"),
        ("exp", "exp", "512xf32"),
        ("exp", "exp", "1024xf16"),
    ):
        old, new, shape = change
        other = view(
            f"%y: memref<{shape}>, %z: memref<{shape}>",
            f"kernel.pointwise ins(%y : memref<{shape}>) outs(%z : memref<{shape}>) "
            f"body {body.replace(old, new)}",
        )
        assert other.key != one.key


def test_bounds_are_part_of_the_key(view: View) -> None:
    def kernel(upper: int) -> KernelView:
        shape = f"memref<?xf32, #sym.dims<[n], n in [1, {upper}]>>"
        return view(
            f"%x: {shape}, %o: {shape}",
            f"kernel.copy ins(%x : {shape}) outs(%o : {shape})",
        )

    assert kernel(8).key != kernel(9).key
    assert kernel(8).fits_int32
    assert not kernel(1 << 31).fits_int32


def test_indices_fit_32_bits_where_addresses_do_not_grow(view: View) -> None:
    """One element, read again and again: it is the count that is large."""

    def repeated(count: int) -> KernelView:
        return view(
            "%x: memref<1xf32>, %o: memref<1xf32>",
            f"kernel.reduce ins(%x <offset 0, sizes [1, {count}], strides [0, 0]> : memref<1xf32>) "
            "outs(%o : memref<1xf32>) "
            "{extras = 0 : i64, kind = #kernel.reduce_kind sum, reduced = 1 : i64} "
            "prologue {\n^bb0(%a : f32):\n  kernel.yield %a : f32\n} "
            "epilogue {\n^bb0(%a : f32):\n  kernel.yield %a : f32\n}",
        )

    assert repeated((1 << 31) - 1).fits_int32
    assert not repeated(1 << 31).fits_int32


def test_kernels_that_differ_in_where_they_begin_are_one(view: View) -> None:
    def part(start: int) -> KernelView:
        plain = pointwise(
            view,
            ": memref<1024xf32>",
            f"<offset {start}, sizes [1024], strides [1]> : memref<4096xf32>",
            "%x: memref<1024xf32>, %o: memref<4096xf32>",
        )
        assert plain.outs[0].offset() == (f"{start} + i" if start else "i")
        return KernelView(plain.op, moved_bases=True)

    first, second, odd = part(0), part(1024), part(1027)
    assert first.key == second.key != odd.key
    assert [v.outs[0].base_dim for v in (first, second, odd)] == [0, 1024, 1024]
    assert odd.outs[0].offset() == "3 + i"
    assert odd.outs[0].alignment("i") == 4


N = symbol("n", 0, 9)


@pytest.mark.parametrize(
    ("offset", "base"),
    [
        (0, 0),
        (16, 16),
        (17, 16),
        (15, 0),
        (N * 32, N * 32),
        (N * 8, 0),
        (N * 32 + N * N + 40, N * 32 + 32),
    ],
)
def test_bases_keep_the_alignment(offset: Dim, base: Dim) -> None:
    assert split_offset(offset, 4) == (base, offset - base)


def test_a_base_is_never_before_the_buffer() -> None:
    assert split_offset(N * 4 - 16, 4) == (0, N * 4 - 16)
    assert split_offset(100 - N * 16, 4) == (0, 100 - N * 16)
