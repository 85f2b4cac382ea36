"""Checks of the IR that passes and tools run besides xDSL's own verifier."""

from ait.dialects.verification import dominance_errors as dominance_errors
from ait.dialects.verification import verify_dominance as verify_dominance
