"""The functions of neural networks: `import ait.nn.functional as F`."""

from ait.ir.nn.functional import *  # noqa: F403
