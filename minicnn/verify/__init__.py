"""Trust: gradients checked to rounding error, networks compared with others, the wrong convention found."""

from minicnn.verify.comparison.compare import compare
from minicnn.verify.comparison.result import Comparison, Step
from minicnn.verify.diagnosis.result import Diagnosis
from minicnn.verify.diagnosis.search import diagnose
from minicnn.verify.gradcheck.gradients import gradients
from minicnn.verify.gradcheck.report import Report, Row
from minicnn.verify.validity import Validity, validity

__all__ = [
    "Comparison",
    "Diagnosis",
    "Report",
    "Row",
    "Step",
    "Validity",
    "compare",
    "diagnose",
    "gradients",
    "validity",
]
