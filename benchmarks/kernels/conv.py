"""The distinct convolutions of ResNet-50, with bias and ReLU, against cuDNN; the first also with
the pool behind it.

Images are channels-last on both sides: [batch, height, width, channels]. cuDNN tries its algorithms
(`cudnn.benchmark`), and runs both fused with bias and ReLU, and as a convolution with the two done
by PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.kernels.case import Bar, Function, KernelCase, Tensors

if TYPE_CHECKING:
    from ait import nn

# For one image there is no bar: a model's batch of one is measured as a whole.
BARS = {"conv b64": Bar(geomean=1.0), "conv b1": Bar(), "conv pool": Bar(geomean=1.0)}

# Height and width of the input, its channels, those of the output, window, stride.
Layer = tuple[int, int, int, int, int]


def _layers() -> Iterator[Layer]:
    """Each convolution of ResNet-50 once: equal ones of other blocks are left out."""
    yield 224, 3, 64, 7, 2
    size, inputs = 56, 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        outputs, reduced = 4 * width, size // stride
        yield size, inputs, width, 1, 1
        yield size, width, width, 3, stride
        yield reduced, width, outputs, 1, 1
        yield size, inputs, outputs, 1, stride
        yield reduced, outputs, width, 1, 1
        yield reduced, width, width, 3, 1
        size, inputs = reduced, outputs


def _module(layer: Layer) -> nn.Module:
    from ait import nn

    _, inputs, outputs, window, stride = layer

    class Convolution(nn.Conv2d):
        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return super().forward(x.permute(0, 3, 1, 2)).relu().permute(0, 2, 3, 1)

    return Convolution(inputs, outputs, window, stride, padding=window // 2)


def _fused(window: int, stride: int, tensors: Tensors) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    y = torch.cudnn_convolution_relu(
        *_operands(tensors), [stride] * 2, [window // 2] * 2, [1, 1], 1
    )
    return y.permute(0, 2, 3, 1)


def _separate(window: int, stride: int, tensors: Tensors) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    y = torch.nn.functional.conv2d(*_operands(tensors), stride, window // 2)
    return y.relu_().permute(0, 2, 3, 1)


def _operands(tensors: Tensors) -> tuple[Any, Any, Any]:
    return tensors["x"].permute(0, 3, 1, 2), tensors["weight"], tensors["bias"]


def _channels_last(tensors: Tensors) -> Tensors:
    """The weights in the memory order that cuDNN has its fastest kernels for."""
    import torch  # pyright: ignore[reportMissingImports]

    weight = tensors["weight"].contiguous(memory_format=torch.channels_last)
    return {**tensors, "weight": weight}


def _case(batch: int, layer: Layer) -> KernelCase:
    size, inputs, outputs, window, stride = layer
    return KernelCase(
        group=f"conv b{batch}",
        name=f"{size},{inputs},{outputs},{window}x{window}" + (f" s{stride}" if stride > 1 else ""),
        module=partial(_module, layer),
        inputs={"x": (batch, size, size, inputs)},
        weights={"weight": (outputs, inputs, window, window), "bias": (outputs,)},
        rivals={
            "cudnn fused": partial(_fused, window, stride),
            "cudnn": partial(_separate, window, stride),
        },
        reference=partial(_separate, window, stride),
        for_rivals=_channels_last,
        reference_type="float32",  # cuDNN takes long in f64
    )


def _pooled(convolution: Function, tensors: Tensors) -> Any:
    """The pool of what a rival's convolution gives."""
    import torch  # pyright: ignore[reportMissingImports]

    y = convolution(tensors).permute(0, 3, 1, 2)
    return torch.nn.functional.max_pool2d(y, 3, 2, 1).permute(0, 2, 3, 1)


def _pooled_module(layer: Layer) -> nn.Module:
    from ait import nn

    _, inputs, outputs, window, stride = layer

    class Begin(nn.Module):
        def __init__(self) -> None:
            shape = (outputs, inputs, window, window)
            self.weight = nn.Parameter(shape, init=nn.initialization.small)
            self.bias = nn.Parameter((outputs,), init=nn.initialization.small)

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            x = x.permute(0, 3, 1, 2)
            y = nn.functional.conv2d(x, self.weight, self.bias, stride, window // 2)
            return nn.functional.max_pool2d(y.relu(), 3, 2, 1).permute(0, 2, 3, 1)

    return Begin()


def _pooled_case(batch: int) -> KernelCase:
    layer = next(_layers())
    case = _case(batch, layer)
    return replace(
        case,
        group="conv pool",
        name=f"b{batch} {case.name}",
        module=partial(_pooled_module, layer),
        rivals={name: partial(_pooled, rival) for name, rival in case.rivals.items()},
        reference=partial(_pooled, case.reference),
    )


CASES = (
    *(_case(batch, layer) for batch in (64, 1) for layer in dict.fromkeys(_layers())),
    *map(_pooled_case, (256, 64, 8, 1)),
)
