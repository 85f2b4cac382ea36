"""The kernel level: what kernels compute, and which programs the interpreter refuses to run.

That lowering keeps the meaning of each graph op is tested in test_levels.py.
"""

from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import InterpretationError

from ait.errors import InputError
from ait.ir.interpreter import evaluate
from ait.ir.parsing import parse_module
from ait.ir.program import Program

ADD_ONE = """{
    ^bb0(%v : f32):
      %one = arith.constant 1.0 : f32
      %r = arith.addf %v, %one : f32
      kernel.yield %r : f32
    }"""


def run(text: str, *inputs: Any) -> list[np.ndarray]:
    program = Program(parse_module(text))
    program.verify()
    return list(evaluate(program, [np.asarray(i) for i in inputs]).values())


def buffers(body: str, slots: str = "[16, 16]") -> str:
    """A function on buffers: input %x and output %y of 4 f32."""
    return f"""func.func @main(%x : memref<4xf32>, %y : memref<4xf32> {{ait.output}})
        attributes {{slots = #sym.dims<{slots}>}} {{
      {body}
      func.return
    }}"""


X = np.float32([1, 2, 3, 4])


def test_pointwise_through_maps() -> None:
    """A transposed and a broadcast operand, an index, an extent, and a result that is reversed."""
    text = """func.func @main(%x : tensor<?x2xf32, #sym.dims<[n, 2], n in [1, 4]>>,
                              %s : tensor<f32>)
        -> tensor<?xf32, #sym.dims<[n * 2], n in [1, 4]>> {
      %e = kernel.empty : tensor<?xf32, #sym.dims<[n * 2], n in [1, 4]>>
      %y = kernel.pointwise
        ins(%x <offset 0, sizes [2, n], strides [1, 2], n in [1, 4]>
              : tensor<?x2xf32, #sym.dims<[n, 2], n in [1, 4]>>,
            %s <offset 0, sizes [2, n], strides [0, 0], n in [1, 4]> : tensor<f32>)
        outs(%e <offset n * 2 - 1, sizes [2, n], strides [-n, -1], n in [1, 4]>
              : tensor<?xf32, #sym.dims<[n * 2], n in [1, 4]>>) body {
      ^bb0(%v : f32, %w : f32):
        %i = kernel.index <offset 0, sizes [2, n], strides [10, 1], n in [1, 4]>
        %n = kernel.extent <n, n in [1, 4]>
        %k = arith.muli %i, %n : i64
        %f = arith.sitofp %k : i64 to f32
        %a = arith.mulf %v, %w : f32
        %r = arith.addf %a, %f : f32
        kernel.yield %r : f32
      }
      func.return %y : tensor<?xf32, #sym.dims<[n * 2], n in [1, 4]>>
    }"""
    (got,) = run(text, np.float32([[1, 2], [3, 4], [5, 6]]), np.float32(100))
    # Row i, column j of the domain: 100 x[j, i] + 3 (10 i + j).
    want = [100 * x + 3 * k for x, k in zip([1, 3, 5, 2, 4, 6], [0, 1, 2, 10, 11, 12], strict=True)]
    assert got.tolist() == want[::-1]


def test_partial_writes_keep_the_rest_of_a_destination() -> None:
    text = """func.func @main(%x : tensor<2xf32>) -> tensor<4xf32> {
      %e = kernel.empty : tensor<4xf32>
      %a = kernel.copy ins(%x : tensor<2xf32>)
        outs(%e <offset 1, sizes [2], strides [2]> : tensor<4xf32>)
      func.return %a : tensor<4xf32>
    }"""
    (got,) = run(text, np.float32([5, 6]))
    assert np.isnan(got[[0, 2]]).all() and got[[1, 3]].tolist() == [5, 6]


def test_stores_convert() -> None:
    text = """func.func @main(%x : tensor<3xf32>) -> (tensor<3xf16>, tensor<3xi8>, tensor<3xi1>) {
      %a = kernel.empty : tensor<3xf16>
      %b = kernel.empty : tensor<3xi8>
      %c = kernel.empty : tensor<3xi1>
      %r0, %r1, %r2 = kernel.pointwise ins(%x : tensor<3xf32>)
        outs(%a : tensor<3xf16>, %b : tensor<3xi8>, %c : tensor<3xi1>) body {
      ^bb0(%v : f32):
        %i = arith.fptosi %v : f32 to i8
        %z = arith.constant 0.0 : f32
        %l = arith.cmpf ogt, %v, %z : f32
        kernel.yield %v, %i, %l : f32, i8, i1
      }
      func.return %r0, %r1, %r2 : tensor<3xf16>, tensor<3xi8>, tensor<3xi1>
    }"""
    half, byte, flag = run(text, np.float32([1 + 2**-12, -200, np.nan]))
    assert half.dtype == np.float16 and half.tolist()[:2] == [1, -200] and np.isnan(half[2])
    assert byte.tolist() == [1, -128, 0]
    assert flag.tolist() == [True, False, False]


def test_attention_scores_see_their_extras() -> None:
    text = """func.func @main(%q : tensor<1x2x3x4xf32>, %k : tensor<1x1x5x4xf32>, %m : tensor<5xi1>)
        -> tensor<1x2x3x4xf32> {
      %e = kernel.empty : tensor<1x2x3x4xf32>
      %y = kernel.attention ins(%q : tensor<1x2x3x4xf32>, %k : tensor<1x1x5x4xf32>,
          %k : tensor<1x1x5x4xf32>,
          %m <offset 0, sizes [1, 2, 3, 5], strides [0, 0, 0, 1]> : tensor<5xi1>)
        outs(%e : tensor<1x2x3x4xf32>) score {
      ^bb0(%s : f32, %keep : i1):
        %hidden = arith.constant 0xFF800000 : f32
        %r = arith.select %keep, %s, %hidden : f32
        kernel.yield %r : f32
      }
      func.return %y : tensor<1x2x3x4xf32>
    }"""
    rng = np.random.default_rng(0)
    q, k = (rng.standard_normal(s).astype(np.float32) for s in ((1, 2, 3, 4), (1, 1, 5, 4)))
    (got,) = run(text, q, k, np.array([0, 0, 1, 0, 0], bool))
    np.testing.assert_allclose(got, np.broadcast_to(k[0, 0, 2], got.shape))
    (got,) = run(text, q, k, np.zeros(5, bool))
    assert not got.any()


def test_buffers_share_slots_in_order() -> None:
    body = f"""
      %a = kernel.buffer slot 0 : memref<4xf32>
      kernel.pointwise ins(%x : memref<4xf32>) outs(%a : memref<4xf32>) body {ADD_ONE}
      %b = kernel.buffer slot 1 : memref<4xf32>
      kernel.pointwise ins(%a : memref<4xf32>) outs(%b : memref<4xf32>) body {ADD_ONE}
      %c = kernel.buffer slot 0 : memref<4xf32>
      kernel.pointwise ins(%b : memref<4xf32>) outs(%c : memref<4xf32>) body {ADD_ONE}
      kernel.copy ins(%{{}} : memref<4xf32>) outs(%y : memref<4xf32>)"""
    assert run(buffers(body.replace("{}", "c")), X)[0].tolist() == [4, 5, 6, 7]
    # A buffer that is read after its slot went to another shows the other's values.
    assert run(buffers(body.replace("{}", "a")), X)[0].tolist() == [4, 5, 6, 7]


def test_in_place_writes() -> None:
    body = f"""
      %a = kernel.buffer slot 0 : memref<4xf32>
      kernel.copy ins(%x : memref<4xf32>) outs(%a : memref<4xf32>)
      %b = kernel.buffer slot 0 : memref<4xf32>
      kernel.pointwise ins(%a : memref<4xf32>) outs(%b : memref<4xf32>) body {ADD_ONE}
      kernel.copy ins(%b : memref<4xf32>) outs(%y : memref<4xf32>)"""
    assert run(buffers(body), X)[0].tolist() == [2, 3, 4, 5]


def test_unwritten_memory_is_poisoned() -> None:
    body = """
      %a = kernel.buffer slot 0 : memref<4xf32>
      kernel.copy ins(%a : memref<4xf32>) outs(%y : memref<4xf32>)"""
    assert np.isnan(run(buffers(body), X)[0]).all()
    assert np.isnan(run(buffers(""), X)[0]).all()


REVERSED = "<offset 3, sizes [4], strides [-1]>"
REFUSED = {
    "shifted in place": (
        f"""%a = kernel.buffer slot 0 : memref<4xf32>
      kernel.copy ins(%x : memref<4xf32>) outs(%a : memref<4xf32>)
      kernel.copy ins(%a {REVERSED} : memref<4xf32>) outs(%a : memref<4xf32>)""",
        "out 0 overwrites what in 0 still reads",
    ),
    "a factor": (
        """%a = kernel.buffer slot 0 : memref<2x2xf32>
      %b = kernel.buffer slot 1 : memref<2x2xf32>
      kernel.gemm ins(%a : memref<2x2xf32>, %b : memref<2x2xf32>) outs(%a : memref<2x2xf32>)
        {groups = array<i64: 0, 1, 1, 1>} epilogue {
      ^bb0(%v : f32):
        kernel.yield %v : f32
      }""",
        "out 0 overwrites what in 0 still reads",
    ),
    "twice": (
        """%a = kernel.buffer slot 0 : memref<4xf32>
      kernel.copy ins(%x : memref<4xf32>)
        outs(%a <offset 0, sizes [4], strides [0]> : memref<4xf32>)""",
        "out 0 writes an element more than once",
    ),
    "both outs": (
        """%a = kernel.buffer slot 0 : memref<4xf32>
      kernel.pointwise ins(%x : memref<4xf32>) outs(%a : memref<4xf32>, %a : memref<4xf32>) body {
      ^bb0(%v : f32):
        kernel.yield %v, %v : f32, f32
      }""",
        "outs 0 and 1 write the same element",
    ),
    "an input": (
        f"kernel.pointwise ins(%x : memref<4xf32>) outs(%x : memref<4xf32>) body {ADD_ONE}",
        "read-only",
    ),
    "slot too small": (
        "%a = kernel.buffer slot 0 : memref<5xf32>",
        "the buffer needs 20 bytes, slot 0 has 16",
    ),
    "no slot": ("%a = kernel.buffer slot 7 : memref<4xf32>", "the function declares no slot 7"),
}


@pytest.mark.parametrize(("body", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(body: str, message: str) -> None:
    with pytest.raises((InterpretationError, ValueError), match=message):
        run(buffers(body), X)


def test_accesses_outside_of_a_storage_are_refused() -> None:
    """A map that is only certain to be wrong for some values of the symbols passes the verifier."""
    text = """func.func @main(%x : tensor<?xf32, #sym.dims<[n], n in [1, 8]>>) -> tensor<4xf32> {
      %e = kernel.empty : tensor<4xf32>
      %y = kernel.copy ins(%x <offset 0, sizes [4], strides [1]>
          : tensor<?xf32, #sym.dims<[n], n in [1, 8]>>) outs(%e : tensor<4xf32>)
      func.return %y : tensor<4xf32>
    }"""
    assert run(text, X)[0].tolist() == X.tolist()
    with pytest.raises(InterpretationError, match="in 0 reaches elements 0 to 3 of a storage of 3"):
        run(text, X[:3])


def test_gather_checks_its_indices() -> None:
    text = """func.func @main(%t : tensor<3x2xf32>, %i : tensor<2xi32>) -> tensor<2x2xf32> {
      %e = kernel.empty : tensor<2x2xf32>
      %y = kernel.gather ins(%t : tensor<3x2xf32>, %i : tensor<2xi32>)
          outs(%e : tensor<2x2xf32>) epilogue {
      ^bb0(%v : f32):
        kernel.yield %v : f32
      }
      func.return %y : tensor<2x2xf32>
    }"""
    table = np.float32([[1, 2], [3, 4], [5, 6]])
    assert run(text, table, np.int32([2, 0]))[0].tolist() == [[5, 6], [1, 2]]
    with pytest.raises(InputError, match=r"index 3 at \[1\] is outside \[0, 3\)"):
        run(text, table, np.int32([0, 3]))


def test_assemble_writes_each_element_once() -> None:
    def text(second: int) -> str:
        return f"""func.func @main(%x : tensor<2xf32>) -> tensor<5xf32> {{
          %y = accessor.assemble %x, %x {{maps = [
              #accessor.map<offset 0, sizes [2], strides [1]>,
              #accessor.map<offset {second}, sizes [2], strides [1]>], fill = 9.0 : f32}}
            : (tensor<2xf32>, tensor<2xf32>) -> tensor<5xf32>
          func.return %y : tensor<5xf32>
        }}"""

    assert run(text(3), X[:2])[0].tolist() == [1, 2, 9, 1, 2]
    with pytest.raises(InterpretationError, match="piece 1 writes an element that is already"):
        run(text(1), X[:2])


DUAL_GEMM = """func.func @main(%a : tensor<2x3xf32>, %w : tensor<3x8xf32>, %x : tensor<4xf32>)
    -> tensor<2x4xf32> {
  %e = kernel.empty : tensor<2x4xf32>
  %r = kernel.dual_gemm
    ins(%a : tensor<2x3xf32>, %w <offset 0, sizes [3, 4], strides [8, 1]> : tensor<3x8xf32>,
        %w <offset 4, sizes [3, 4], strides [8, 1]> : tensor<3x8xf32>,
        %x <offset 0, sizes [2, 4], strides [0, 1]> : tensor<4xf32>)
    outs(%e : tensor<2x4xf32>) {groups = array<i64: 0, 1, 1, 1>} epilogue {
  ^bb0(%p : f32, %q : f32, %v : f32):
    %s = arith.subf %p, %v : f32
    %t = arith.mulf %s, %q : f32
    kernel.yield %t : f32
  }
  func.return %r : tensor<2x4xf32>
}"""


def test_dual_gemm() -> None:
    rng = np.random.default_rng(0)
    a, w, x = (rng.standard_normal(s).astype(np.float32) for s in ((2, 3), (3, 8), (4,)))
    (got,) = run(DUAL_GEMM, a, w, x)
    np.testing.assert_allclose(got, (a @ w[:, :4] - x) * (a @ w[:, 4:]), rtol=1e-5)


GEMM_ROWWISE = """
func.func @main(%a: tensor<2x3xf32>, %w: tensor<3x4xf32>, %x: tensor<4xf32>)
    -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  %e = kernel.empty : tensor<2x4xf32>
  %f = kernel.empty : tensor<2x4xf32>
  %h, %r = kernel.gemm_rowwise
    ins(%a : tensor<2x3xf32>, %w : tensor<3x4xf32>,
        %x <offset 0, sizes [2, 4], strides [0, 1]> : tensor<4xf32>)
    outs(%e : tensor<2x4xf32>, %f : tensor<2x4xf32>)
    {groups = array<i64: 0, 1, 1, 1>, kind = #kernel.rowwise_kind softmax} prologue {
  ^bb0(%s : f32, %v : f32):
    %t = arith.mulf %s, %v : f32
    kernel.yield %t : f32
  } epilogue {
  ^bb0(%y : f32, %v : f32, %s : f32, %z : f32):
    %t = arith.addf %y, %s : f32
    kernel.yield %v, %t : f32, f32
  }
  func.return %h, %r : tensor<2x4xf32>, tensor<2x4xf32>
}"""


def test_gemm_rowwise() -> None:
    rng = np.random.default_rng(0)
    a, w, x = (rng.standard_normal(s).astype(np.float32) for s in ((2, 3), (3, 4), (4,)))
    scaled, got = run(GEMM_ROWWISE, a, w, x)
    product = a @ w
    exponents = np.exp(product * x)
    np.testing.assert_allclose(scaled, product * x, rtol=1e-5)
    np.testing.assert_allclose(
        got, exponents / exponents.sum(1, keepdims=True) + product, rtol=1e-5
    )


BACK_TO_BACK = """
func.func @main(%a: tensor<2x5x3xf32>, %w: tensor<3x4xf32>, %c: tensor<2x4x6xf32>,
    %x: tensor<5xf32>, %z: tensor<6xf32>) -> tensor<2x5x6xf32> {
  %e = kernel.empty : tensor<2x5x6xf32>
  %r = kernel.back_to_back_gemm
    ins(%a : tensor<2x5x3xf32>, %w <offset 0, sizes [2, 3, 4], strides [0, 4, 1]> : tensor<3x4xf32>,
        %c : tensor<2x4x6xf32>,
        %x <offset 0, sizes [2, 5, 4], strides [0, 1, 0]> : tensor<5xf32>,
        %z <offset 0, sizes [2, 5, 6], strides [0, 0, 1]> : tensor<6xf32>)
    outs(%e : tensor<2x5x6xf32>)
    {groups = array<i64: 1, 1, 1, 1, 1>, middle_extras = 1 : i64} middle {
  ^bb0(%s : f32, %v : f32):
    %t = arith.mulf %s, %v : f32
    %u = math.tanh %t : f32
    kernel.yield %u : f32
  } epilogue {
  ^bb0(%s : f32, %v : f32):
    %t = arith.addf %s, %v : f32
    kernel.yield %t : f32
  }
  func.return %r : tensor<2x5x6xf32>
}"""


def test_back_to_back_gemm() -> None:
    rng = np.random.default_rng(0)
    shapes = ((2, 5, 3), (3, 4), (2, 4, 6), (5,), (6,))
    a, w, c, x, z = (rng.standard_normal(s).astype(np.float32) for s in shapes)
    (got,) = run(BACK_TO_BACK, a, w, c, x, z)
    np.testing.assert_allclose(got, np.tanh(a @ w * x[:, None]) @ c + z, rtol=1e-5, atol=1e-5)


MIDDLE_KEPT = """
func.func @main(%a: tensor<5x3xf16>, %w: tensor<3x4xf16>, %c: tensor<4x6xf16>, %x: tensor<5x4xf16>)
    -> (tensor<5x6xf16>, tensor<4x5xf16>) {
  %e = kernel.empty : tensor<5x6xf16>
  %f = kernel.empty : tensor<4x5xf16>
  %r, %t = kernel.back_to_back_gemm
    ins(%a : tensor<5x3xf16>, %w : tensor<3x4xf16>, %c : tensor<4x6xf16>, %x : tensor<5x4xf16>)
    outs(%e : tensor<5x6xf16>, %f <offset 0, sizes [5, 4], strides [1, 5]> : tensor<4x5xf16>)
    {groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = 1 : i64, keeps_middle} middle {
  ^bb0(%s : f32, %v : f32):
    %u = arith.addf %s, %v : f32
    kernel.yield %u : f32
  } epilogue {
  ^bb0(%s : f32):
    kernel.yield %s : f32
  }
  func.return %r, %t : tensor<5x6xf16>, tensor<4x5xf16>
}"""


def test_a_kept_middle_is_the_last_result() -> None:
    """Through its own map, rounded; the second product takes it as it was computed."""
    rng = np.random.default_rng(0)
    shapes = ((5, 3), (3, 4), (4, 6), (5, 4))
    a, w, c, x = (rng.standard_normal(s).astype(np.float16) for s in shapes)
    got, middle = run(MIDDLE_KEPT, a, w, c, x)
    want = a.astype(np.float32) @ w.astype(np.float32) + x
    np.testing.assert_array_equal(middle, want.T.astype(np.float16))
    np.testing.assert_allclose(got, want @ c.astype(np.float32), rtol=1e-3, atol=1e-3)
