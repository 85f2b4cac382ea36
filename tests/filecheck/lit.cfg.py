# ruff: noqa: F821 - lit provides `config`
# pyright: basic
"""lit's configuration: `lit tests/filecheck` runs every file as its RUN lines say."""

import os
import sys

import lit.formats

config.name = "ait"
config.suffixes = [".mlir"]
config.test_format = lit.formats.ShTest(execute_external=False)
config.test_source_root = os.path.dirname(__file__)
# ait-opt and filecheck are the scripts beside the interpreter that runs lit.
search = [os.path.dirname(sys.executable), config.environment.get("PATH", "")]
config.environment["PATH"] = os.pathsep.join(search)
