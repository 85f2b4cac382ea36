"""Errors of the command line itself."""

from ait.errors import AitError


class UsageError(AitError):
    """The command line asks for something that does not exist or cannot be done; exit code 2."""
