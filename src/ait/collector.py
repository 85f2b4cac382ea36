"""Python's cycle collector, and when it rests."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Generator[None]:
    """Without Python's cycle collector: where much is made that lives on, as IR or modules do, it
    would walk all of it again and again. What is left behind is collected afterwards."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
