"""Verification in three tools: gradients checked, networks compared with other programs, differences diagnosed.

``gradients`` checks every gradient to rounding error against the forward pass; ``compare`` runs a network beside
another program, layer by layer; ``diagnose`` searches for the convention that makes two programs differ.
``validity`` says how far from an image a class score is linear.
"""

from minicnn.verify.comparison.compare import compare
from minicnn.verify.comparison.result import ComparedValue, Comparison
from minicnn.verify.diagnosis.result import Diagnosis
from minicnn.verify.diagnosis.search import diagnose
from minicnn.verify.gradcheck.gradients import gradients
from minicnn.verify.gradcheck.report import Report, Row
from minicnn.verify.validity import Validity, validity

__all__ = [
    "ComparedValue",
    "Comparison",
    "Diagnosis",
    "Report",
    "Row",
    "Validity",
    "compare",
    "diagnose",
    "gradients",
    "validity",
]
