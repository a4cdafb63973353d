"""The paper's methods, one file a method."""

from minicnn.explain.prediction import Prediction, predict
from minicnn.explain.saliency import Saliency, saliency

__all__ = ["Prediction", "Saliency", "predict", "saliency"]
