from collections.abc import Callable

import pytest
from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.dialects.func import Func
from xdsl.dialects.math import Math
from xdsl.dialects.memref import MemRef
from xdsl.parser import Parser

from ait.codegen.kernel_view import KernelView
from ait.dialects.accessor import Accessor
from ait.dialects.kernel import Kernel, KernelOp
from ait.dialects.symbolic import Sym


def parse_module(text: str) -> ModuleOp:
    context = Context()
    for dialect in (Builtin, Func, Arith, Math, MemRef, Sym, Accessor, Kernel):
        context.load_dialect(dialect)
    module = Parser(context, text).parse_module()
    module.verify()
    return module


@pytest.fixture
def parse() -> Callable[[str], ModuleOp]:
    """Parses and verifies a module of standard and kernel ops."""
    return parse_module


@pytest.fixture
def view() -> Callable[..., KernelView]:
    """The view of the one kernel op in a function of the given arguments."""

    def make(arguments: str, op: str) -> KernelView:
        module = parse_module(f"func.func @main({arguments}) {{ {op} func.return }}")
        (found,) = (op for op in module.walk() if isinstance(op, KernelOp))
        return KernelView(found)

    return make
