"""The reference interpreter: what every level of the IR means, with NumPy."""

from ait.ir.interpreter.evaluate import Observer as Observer
from ait.ir.interpreter.evaluate import evaluate as evaluate
