"""What is cheaper where results have 16 bits: recognised in any form, and as exact as they are."""

import ctypes
import math
import shutil
import subprocess
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects import arith, builtin
from xdsl.dialects import math as math_dialect
from xdsl.ir import Block, Region, SSAValue

from ait.codegen.scalar import RegionCode, region_code
from ait.dialects.kernel import YieldOp
from tests.compile.cuda.kernels import EMULATION, HEADERS

_ROOT = math.sqrt(0.5)


def gelu(
    order: tuple[int, int, int],
    left_first: bool = True,
    scale: float = 0.5,
    root: float = _ROOT,
    one: float = 1.0,
    swapped: bool = False,
) -> Region:
    """x * scale * (one + erf(x * root)), the factors in an order, taken together from the left or
    the right; `swapped`: the operands of the other ops the other way round. x is a product too."""
    block = Block(arg_types=[builtin.f32, builtin.f32])

    def put(op: arith.ConstantOp | arith.MulfOp | arith.AddfOp | math_dialect.ErfOp) -> SSAValue:
        block.add_op(op)
        return op.results[0]

    def constant(value: float) -> SSAValue:
        return put(arith.ConstantOp(builtin.FloatAttr(value, builtin.f32)))

    def pair(a: SSAValue, b: SSAValue) -> tuple[SSAValue, SSAValue]:
        return (b, a) if swapped else (a, b)

    x = put(arith.MulfOp(block.args[0], block.args[1]))
    erf = put(math_dialect.ErfOp(put(arith.MulfOp(*pair(x, constant(root))))))
    factors = [x, constant(scale), put(arith.AddfOp(*pair(erf, constant(one))))]
    a, b, c = (factors[i] for i in order)
    if left_first:
        product = put(arith.MulfOp(put(arith.MulfOp(a, b)), c))
    else:
        product = put(arith.MulfOp(a, put(arith.MulfOp(b, c))))
    block.add_op(YieldOp(product))
    return Region(block)


def text(region: Region, rough: bool = True) -> RegionCode:
    return region_code(region, rough=rough)


@given(st.sampled_from(list(permutations(range(3)))), st.booleans(), st.booleans())
def test_every_way_to_write_gelu_is_one_call(
    order: tuple[int, int, int], left_first: bool, swapped: bool
) -> None:
    code = text(gelu(order, left_first, swapped=swapped))
    assert code.operations == ("mulf", "gelu_rough")
    assert len(code.lines) == 2
    exact = text(gelu(order, left_first, swapped=swapped), rough=False)
    assert "erf" in exact.operations and "gelu_rough" not in exact.operations


@pytest.mark.parametrize("constants", [(1.0, _ROOT, 1), (0.5, 0.7, 1), (0.5, _ROOT, 2)])
def test_other_constants_are_no_gelu(constants: tuple[float, float, float]) -> None:
    scale, root, one = constants
    assert "erf" in text(gelu((0, 1, 2), scale=scale, root=root, one=one)).operations


@pytest.mark.parametrize("again", ["x", "1 + erf"])
def test_a_factor_more_is_no_gelu(again: str) -> None:
    """x * x * (1 + erf(..)) / 2, and x * (1 + erf(..)) ** 2 / 2, the half last."""
    region = gelu((0, 2, 1))
    block = region.block
    *_, product, scaled, _ = block.ops
    assert isinstance(product, arith.MulfOp) and isinstance(scaled, arith.MulfOp)
    more = arith.MulfOp(product.result, product.lhs if again == "x" else product.rhs)
    block.insert_op_before(more, scaled)
    scaled.operands[scaled.operands.index(product.result)] = more.result
    assert text(region, rough=True).lines == text(region, rough=False).lines


def test_a_product_of_exponentially_many_factors() -> None:
    block = Block(arg_types=[builtin.f32])
    value: SSAValue = block.args[0]
    for _ in range(64):
        block.add_op(square := arith.MulfOp(value, value))
        value = square.result
    block.add_op(YieldOp(value))
    assert len(text(Region(block)).lines) == 64


def of_one_plus(
    called: type[math_dialect.ExpOp | math_dialect.TanhOp],
    above: float | None,
    one: float = 1.0,
    negated: bool = True,
    swapped: bool = False,
) -> Region:
    """above / (one + called(-x)), or the sum alone; the sum's operands `swapped`."""
    block = Block(arg_types=[builtin.f32])
    block.add_op(minus := arith.NegfOp(block.args[0]))
    block.add_op(call := called(minus.result if negated else block.args[0]))
    block.add_op(constant := arith.ConstantOp(builtin.FloatAttr(one, builtin.f32)))
    terms = (call.result, constant.result) if swapped else (constant.result, call.result)
    block.add_op(found := arith.AddfOp(*terms))
    if above is not None:
        block.add_op(numerator := arith.ConstantOp(builtin.FloatAttr(above, builtin.f32)))
        block.add_op(found := arith.DivfOp(numerator.result, found.result))
    block.add_op(YieldOp(found.result))
    return Region(block)


_SIGMOID, _TANH = (math_dialect.ExpOp, 1.0), (math_dialect.TanhOp, None)


@pytest.mark.parametrize("swapped", [False, True])
def test_sigmoid_and_one_plus_tanh_are_one_call(swapped: bool) -> None:
    for form, calls in ((_SIGMOID, ("sigmoid_rough",)), (_TANH, ("negf", "one_plus_tanh_rough"))):
        assert text(of_one_plus(*form, swapped=swapped)).operations == calls
        exact = text(of_one_plus(*form, swapped=swapped), rough=False)
        assert not any(name.endswith("_rough") for name in exact.operations)


@pytest.mark.parametrize(
    "region",
    [
        of_one_plus(math_dialect.ExpOp, 2.0),
        of_one_plus(math_dialect.ExpOp, 1.0, one=2.0),
        of_one_plus(math_dialect.ExpOp, 1.0, negated=False),
        of_one_plus(math_dialect.ExpOp, None),
        of_one_plus(math_dialect.TanhOp, None, one=-1.0),
    ],
    ids=["2 / ..", "1 / (2 + ..)", "e^x", "no quotient", "-1 + tanh"],
)
def test_what_only_looks_like_them_is_not(region: Region) -> None:
    assert text(region, rough=True).lines == text(region, rough=False).lines


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


_EXACT: dict[str, Callable[[float], float]] = {
    "gelu_rough": lambda x: 0.5 * x * math.erfc(-x * _ROOT),
    "sigmoid_rough": _logistic,
    "one_plus_tanh_rough": lambda x: 2 * _logistic(2 * x),
}


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
@pytest.mark.parametrize("dtype", [np.float16, np.float32], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("function", _EXACT)
def test_results_round_like_exact_ones(
    function: str, dtype: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    """All numbers of f16, and f32 ones between, within 2^-15 of the value."""
    source = tmp_path / "rough.cpp"
    source.write_text(
        '#include <cuda_runtime.h>\n#include "ait/scalar.hpp"\n'
        f'extern "C" void each(float* x, int n) '
        f"{{ for (int i = 0; i < n; ++i) x[i] = ait::{function}(x[i]); }}"
    )
    includes = [f"-I{path}" for path in (EMULATION, *HEADERS)]
    library = tmp_path / "rough.so"
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", *includes, str(source)]
    subprocess.run([*command, "-o", str(library)], check=True)
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    x = every[np.isfinite(every)]
    if dtype is np.float32:
        x = np.nextafter(x, np.float32(100))
    value = _EXACT[function]
    exact = np.array([value(v) for v in x.astype(np.float64)])
    found = _called(library, x)
    assert np.all(np.abs(found - exact) <= 2.0**-15 * np.abs(exact) + 2.0**-26)
    infinite = np.array([np.inf, -np.inf, np.nan], np.float32)
    special = _called(library, infinite)
    assert special[0] == value(math.inf) and special[1] == 0 and np.isnan(special[2])


def _called(library: Path, x: np.ndarray) -> np.ndarray:
    values = np.ascontiguousarray(x, np.float32).copy()
    ctypes.CDLL(str(library)).each(values.ctypes.data_as(ctypes.c_void_p), len(values))
    return values
