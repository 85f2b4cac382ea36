"""The reference of dialects, passes and command lines, written from the code that defines them."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

from xdsl.ir import Attribute, Dialect, Operation, ParametrizedAttribute
from xdsl.irdl import IRDLOperation, OptionalDef, VariadicDef
from xdsl.passes import ModulePass, get_pass_option_infos

from ait.tools import universe

_NOTICE = "<!-- Written by `make docs` from the code; edit the docstrings there. -->\n"
BAR = r"\|"


def write_reference(folder: Path) -> list[Path]:
    """Write one page for each dialect and one for all passes; returns the files."""
    pages = {f"dialect-{name}.md": page for name, page in _dialect_pages()}
    pages["passes.md"] = passes_page(universe.pass_factories(), universe.pipelines())
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (folder / name).write_text(text)
    return [folder / name for name in pages]


def _dialect_pages() -> Iterator[tuple[str, str]]:
    for name, factory in universe.dialect_factories().items():
        yield name, dialect_page(factory())


def dialect_page(dialect: Dialect) -> str:
    """The page of a dialect: its attributes and operations, each as its docstring says."""
    attributes, operations = list(dialect.attributes), list(dialect.operations)
    parts = [_NOTICE, f"# Dialect `{dialect.name}`\n", _module_summary(operations or attributes)]
    if attributes:
        parts.append("## Attributes\n")
        parts += [_attribute_section(attribute) for attribute in attributes]
    if operations:
        parts.append("## Operations\n")
        parts += [_operation_section(operation) for operation in operations]
    return "\n".join(part for part in parts if part)


def passes_page(
    factories: Mapping[str, universe.PassFactory], pipelines: Mapping[str, tuple[str, ...]]
) -> str:
    """The page of all passes and pipelines."""
    parts = [_NOTICE, "# Passes\n"]
    for name, members in pipelines.items():
        parts.append(f"- pipeline `{name}`: {', '.join(f'`{member}`' for member in members)}\n")
    parts += [_pass_section(factory()) for _, factory in sorted(factories.items())]
    return "\n".join(parts)


def _pass_section(pass_class: type[ModulePass]) -> str:
    rows = [
        (f"`{option.name}`", f"`{option.expected_type}`", f"`{option.default_value}`")
        for option in get_pass_option_infos(pass_class)
    ]
    table = _table(("option", "type", "default"), rows)
    return f"## `{pass_class.name}`\n\n{_example_lines(_doc(pass_class))}\n{table}"


def _example_lines(text: str) -> str:
    """The text with `Before:` and `After:` as items of a list, which Markdown would join."""
    return re.sub(r"^(?=(?:Before|After):)", "- ", text, flags=re.MULTILINE)


def _attribute_section(attribute: type[Attribute]) -> str:
    rows: list[tuple[str, ...]] = []
    if issubclass(attribute, ParametrizedAttribute):
        parameters = attribute.get_irdl_definition().parameters
        rows = [(f"`{name}`", _field_doc(attribute, name)) for name, _ in parameters]
    return f"### `{attribute.name}`\n\n{_doc(attribute)}\n{_table(('parameter', ''), rows)}"


def _operation_section(operation: type[Operation]) -> str:
    text = f"### `{operation.name}`\n\n{_doc(operation)}\n"
    if not issubclass(operation, IRDLOperation):
        return text
    definition = operation.get_irdl_definition()
    kinds = {
        "operand": definition.operands,
        "result": definition.results,
        "region": definition.regions,
    }
    rows = [
        (kind, f"`{name}`{_multiplicity(field)}", _field_doc(operation, name))
        for kind, fields in kinds.items()
        for name, field in fields
    ]
    rows += [
        ("property", f"`{name}`{_multiplicity(field)}", _field_doc(operation, name))
        for name, field in definition.properties.items()
    ]
    return text + _table(("", "name", ""), rows)


def _multiplicity(field: object) -> str:
    if isinstance(field, OptionalDef):
        return "?"
    return "..." if isinstance(field, VariadicDef) else ""


def _doc(owner: type) -> str:
    """The docstring of the class itself: `inspect.getdoc` would fall back on its base's."""
    own = vars(owner).get("__doc__") or ""
    return f"{inspect.cleandoc(own)}\n" if own else ""


def _field_doc(owner: type, field: str) -> str:
    """The string literal below a field's definition, in the class or one of its bases."""
    for base in owner.__mro__:
        found = _field_docs(base).get(field)
        if found:
            return found
    return ""


@cache  # the bases are those of all ops, and reading their source takes long
def _field_docs(owner: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    except (OSError, TypeError, SyntaxError):
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    docs: dict[str, str] = {}
    for statement, following in pairwise(body):
        match statement, following:
            case (
                ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = " ".join(text.split())
            case _:
                pass
    return docs


def _module_summary(definitions: Iterable[type]) -> str:
    """The docstring of the outermost package or module around a dialect's first definition."""
    for definition in definitions:
        module = inspect.getmodule(definition)
        if module is None or not module.__name__.startswith("ait."):
            continue
        parts = module.__name__.split(".")
        homes = (sys.modules[".".join(parts[:count])] for count in range(3, len(parts) + 1))
        text = next(filter(None, map(inspect.getdoc, homes)), "")
        return f"{text}\n" if text else ""
    return ""


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [_line(row) for row in rows]
    if not lines:
        return ""
    return "\n".join([_line(headings), "|" + "---|" * len(headings), *lines, ""])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"


if __name__ == "__main__":
    for written in write_reference(Path(sys.argv[1])):
        print(written)
