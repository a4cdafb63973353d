"""Every method of maps in one table: measures, baselines, verdicts."""

from minicnn.evaluate.method_table.result import MethodTable
from minicnn.evaluate.method_table.run import evaluate_methods
from minicnn.evaluate.method_table.settings import TableSettings

__all__ = ["MethodTable", "TableSettings", "evaluate_methods"]
