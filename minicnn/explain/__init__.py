"""The paper's methods, one file a method."""

from minicnn.explain.ascent import Ascent
from minicnn.explain.class_model import ClassModel, class_model, maximise
from minicnn.explain.deconvnet import Reconstruction, deconvnet, top_activations
from minicnn.explain.evaluation import evaluate_localisation
from minicnn.explain.graph_cut import segment
from minicnn.explain.localise import Detection, localise
from minicnn.explain.prediction import Prediction, predict
from minicnn.explain.receptive_field import Box, receptive_field
from minicnn.explain.saliency import Saliency, saliency

__all__ = [
    "Ascent",
    "Box",
    "ClassModel",
    "Detection",
    "Prediction",
    "Reconstruction",
    "Saliency",
    "class_model",
    "deconvnet",
    "evaluate_localisation",
    "localise",
    "maximise",
    "predict",
    "receptive_field",
    "saliency",
    "segment",
    "top_activations",
]
