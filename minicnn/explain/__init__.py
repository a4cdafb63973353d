"""The paper's methods, one file a method."""

from importlib import import_module
from typing import Any

from minicnn.explain.attribution import Attribution, attribution
from minicnn.explain.class_model import ClassModel, class_model, maximise
from minicnn.explain.deconvnet import Reconstruction, deconvnet, top_activations
from minicnn.explain.grad_cam import grad_cam
from minicnn.explain.gradient_ascent import Ascent
from minicnn.explain.gradient_input import LinearModel, gradient_times_input, linear_model
from minicnn.explain.integrated_gradients import integrated_gradients
from minicnn.explain.localise import Detection, localise
from minicnn.explain.natural.ascent import NaturalAscent
from minicnn.explain.occlusion import occlusion
from minicnn.explain.prediction import Prediction, predict
from minicnn.explain.receptive_field import Box, receptive_field
from minicnn.explain.saliency import Saliency, saliency
from minicnn.explain.smooth_gradient import smooth_gradient
from minicnn.explain.top_images import TopImage, top_images
from minicnn.segmentation.graph_cut import segment

__all__ = [
    "Ascent",
    "Attribution",
    "Box",
    "ClassModel",
    "Detection",
    "LinearModel",
    "NaturalAscent",
    "Prediction",
    "Reconstruction",
    "Saliency",
    "TopImage",
    "attribution",
    "class_model",
    "deconvnet",
    "evaluate_localisation",
    "grad_cam",
    "gradient_times_input",
    "integrated_gradients",
    "linear_model",
    "localise",
    "maximise",
    "occlusion",
    "predict",
    "receptive_field",
    "saliency",
    "segment",
    "smooth_gradient",
    "top_activations",
    "top_images",
]


def __getattr__(name: str) -> Any:
    """Hand on ``evaluate_localisation``, which lies above the methods that it measures."""
    if name != "evaluate_localisation":
        raise AttributeError(f"module 'minicnn.explain' has no attribute {name!r}")
    # at its first use: minicnn.evaluate imports these methods, so that an import above would be circular
    return import_module("minicnn.evaluate").evaluate_localisation
