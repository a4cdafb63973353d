"""Trust: gradients checked to rounding error, networks compared with others, the wrong convention found."""

from minicnn.verify.gradients import gradients
from minicnn.verify.report import Report, Row

__all__ = ["Report", "Row", "gradients"]
