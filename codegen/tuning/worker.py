"""The process that runs candidates: a kernel that crashes or hangs takes only this one with it.

    python worker.py LIBRARY FIRST COUNT

Runs the candidates FIRST, FIRST + 1, ... of a library that `measure` built, and prints a line of
JSON for each: its index, and its seconds or its failure. A line with the index alone says that one
has begun. Needs nothing but Python's own library.
"""

import ctypes
import json
import sys

_MESSAGE_BYTES = 1000


def main(path: str, first: int, count: int) -> None:
    """Runs candidates in order until the end, or until one ends this process."""
    library = ctypes.CDLL(path)
    library.ait_tune_candidate.argtypes = [
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_double),
        ctypes.c_char_p,
        ctypes.c_int,
    ]
    for index in range(first, count):
        print(json.dumps({"index": index}), flush=True)
        seconds = ctypes.c_double()
        message = ctypes.create_string_buffer(_MESSAGE_BYTES)
        code = library.ait_tune_candidate(index, ctypes.byref(seconds), message, _MESSAGE_BYTES)
        found = {"failure": message.value.decode(errors="replace")} if code else {}
        print(json.dumps({"index": index, "seconds": seconds.value, **found}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
