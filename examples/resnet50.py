"""ResNet-50, with the parameter names of `torchvision.models.resnet50`.

python examples/resnet50.py --target cpu
"""

from __future__ import annotations

import numpy as np

import ait
from ait import nn


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int):
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet(nn.Module):
    """Images [batch, 3, height, width] to logits [batch, classes]."""

    def __init__(self, blocks: tuple[int, int, int, int] = (3, 4, 6, 3), num_classes: int = 1000):
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(64, 64, blocks[0], stride=1)
        self.layer2 = stage(256, 128, blocks[1], stride=2)
        self.layer3 = stage(512, 256, blocks[2], stride=2)
        self.layer4 = stage(1024, 512, blocks[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(2048, num_classes)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.fc(self.avgpool(x).flatten(1))


def stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """Blocks of one resolution; the first one reduces it."""
    outputs = width * Bottleneck.expansion
    rest = (Bottleneck(outputs, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(Bottleneck(inputs, width, stride), *rest)


def resnet50(num_classes: int = 1000) -> ResNet:
    """The usual one of 50 layers."""
    return ResNet((3, 4, 6, 3), num_classes)


def specs(size: int = 224, max_batch: int = 64, dtype: object = "f32") -> dict[str, ait.TensorSpec]:
    """Square images, in any batch up to the given."""
    return {"x": ait.TensorSpec((ait.Dim("batch", 1, max_batch), 3, size, size), dtype)}


def main() -> None:
    """Compiles ResNet-50, runs it and checks it against the reference interpreter."""
    from common import check, parse_arguments

    arguments = parse_arguments(__doc__)
    model = resnet50()
    if arguments.weights is None:
        model.init_random()
    else:
        model.load_state_dict(arguments.weights)
    images = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    inputs = {"x": images.astype(nn.numpy_dtype(arguments.dtype))}
    model_specs = specs(dtype=arguments.dtype)
    check("resnet50", model.to(arguments.dtype), model_specs, inputs, arguments)


if __name__ == "__main__":
    main()
