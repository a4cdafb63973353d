"""Trust: gradients checked to rounding error, networks compared with others, the wrong convention found."""

from minicnn.verify.compare import compare
from minicnn.verify.comparison import Comparison, Step
from minicnn.verify.diagnose import diagnose
from minicnn.verify.diagnosis import Diagnosis
from minicnn.verify.gradients import gradients
from minicnn.verify.report import Report, Row
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
