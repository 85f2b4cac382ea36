"""Python's cycle collector is as it was, whatever happens while it rests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ait.collector import paused_collector


@pytest.fixture(params=[True, False], ids=["on", "off"])
def enabled(request: pytest.FixtureRequest) -> Iterator[bool]:
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_it_rests_until_the_outermost_end(enabled: bool) -> None:
    with paused_collector():
        with paused_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() == enabled


def test_it_is_as_before_behind_an_error(enabled: bool) -> None:
    with pytest.raises(KeyError), paused_collector():
        raise KeyError
    assert gc.isenabled() == enabled
