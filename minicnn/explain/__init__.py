"""The paper's methods, one file a method."""

from minicnn.explain.ascent import Ascent
from minicnn.explain.class_model import ClassModel, class_model, maximise
from minicnn.explain.prediction import Prediction, predict
from minicnn.explain.saliency import Saliency, saliency

__all__ = [
    "Ascent",
    "ClassModel",
    "Prediction",
    "Saliency",
    "class_model",
    "maximise",
    "predict",
    "saliency",
]
