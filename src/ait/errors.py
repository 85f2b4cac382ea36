"""Errors that users see: each message names what the user wrote and says what would help."""


class AitError(Exception):
    """Base of every error that `ait` raises on purpose; the CLI prints it without a traceback."""


class ShapeError(AitError):
    """A model is ill-typed: shapes, ranks or element types of an operation do not fit."""


class TraceError(AitError):
    """A model does what a trace cannot record, such as branching on a tensor's values."""


class WeightError(AitError):
    """Weights are missing, unexpected, mismatched or unreadable."""


class InputError(AitError):
    """A value given to a compiled or interpreted model does not fit its declaration."""


class CompileError(AitError):
    """The model cannot be compiled for the target, or generated code failed to build."""


class ToolchainError(CompileError):
    """A compiler or one of its libraries is missing or unusable."""
