"""Pooling, resizing and gathering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import UnitAttr

from ait.dialects import graph
from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import (
    Coordinates,
    CoordinatesAttr,
    GatherOp,
    PoolKind,
    PoolKindAttr,
    PoolOp,
    ResizeMode,
    ResizeModeAttr,
    ResizeOp,
    compute_type,
)
from ait.dialects.symbolic import dims_of, element_of
from ait.passes.lowering.contraction import int_array, read_image, write_image
from ait.passes.lowering.launch import Lowered, Rule, Write, launch, read
from ait.passes.regions import identity_region


def _pool(
    op: graph.ImageOp,
    kind: PoolKind,
    kernel: Sequence[int] = (1, 1),
    strides: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1),
    count_include_pad: bool = False,
    adaptive: bool = False,
) -> Lowered:
    return launch(
        PoolOp,
        op,
        [read_image(op.x, op.layout)],
        [write_image(op.result, op.layout)],
        [identity_region([compute_type(element_of(op.x))])],
        {
            "kind": PoolKindAttr(kind),
            "kernel": int_array(kernel),
            "strides": int_array(strides),
            "padding": int_array(padding),
            "dilations": int_array(dilations),
            "count_include_pad": UnitAttr() if count_include_pad else None,
            "adaptive": UnitAttr() if adaptive else None,
        },
    )


def lower_max_pool2d(op: graph.MaxPool2dOp) -> Lowered:
    """The result's dims carry ceil_mode: a window that leaves the image is cut off."""
    return _pool(op, PoolKind.MAX, op.kernel, op.strides, op.padding, op.dilations)


def lower_avg_pool2d(op: graph.AvgPool2dOp) -> Lowered:
    return _pool(
        op,
        PoolKind.AVERAGE,
        op.kernel,
        op.strides,
        op.padding,
        count_include_pad=op.count_include_pad,
    )


def lower_adaptive_avg_pool2d(op: graph.AdaptiveAvgPool2dOp) -> Lowered:
    return _pool(op, PoolKind.AVERAGE, adaptive=True)


def lower_adaptive_max_pool2d(op: graph.AdaptiveMaxPool2dOp) -> Lowered:
    return _pool(op, PoolKind.MAX, adaptive=True)


def lower_resize(op: graph.ResizeOp) -> Lowered:
    return launch(
        ResizeOp,
        op,
        [read_image(op.x, op.layout)],
        [write_image(op.result, op.layout)],
        [identity_region([compute_type(element_of(op.x))])],
        {
            "mode": ResizeModeAttr(ResizeMode(op.mode)),
            "coordinates": CoordinatesAttr(Coordinates(op.coordinates)),
        },
    )


def lower_gather(op: graph.GatherOp) -> Lowered:
    """Rows of the table are along `axis`; the result is written with its index dims in place."""
    table, index = dims_of(op.x), dims_of(op.indices)
    axis, rank = op.axis, len(table)
    rows_first = (axis, *(i for i in range(rank) if i != axis))
    moved = range(axis, axis + len(index))
    out_dims = dims_of(op.result)
    out_order = (*moved, *(i for i in range(len(out_dims)) if i not in moved))
    return launch(
        GatherOp,
        op,
        [read(op.x, AccessMap.dense(table).permute(rows_first)), read(op.indices)],
        [Write(element_of(op.x), out_dims, AccessMap.dense(out_dims).permute(out_order))],
        [identity_region([compute_type(element_of(op.x))])],
    )


RULES: Mapping[type, Rule] = {
    graph.AdaptiveAvgPool2dOp: lower_adaptive_avg_pool2d,
    graph.AdaptiveMaxPool2dOp: lower_adaptive_max_pool2d,
    graph.AvgPool2dOp: lower_avg_pool2d,
    graph.GatherOp: lower_gather,
    graph.MaxPool2dOp: lower_max_pool2d,
    graph.ResizeOp: lower_resize,
}
