"""Authoring of models in Python, as with PyTorch: `from ait import nn`."""

from ait.ir.nn import *  # noqa: F403
from ait.ir.nn import functional as functional
