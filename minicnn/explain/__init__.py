"""The paper's methods, one file a method."""

from minicnn.explain.ascent import Ascent
from minicnn.explain.attribution import Attribution, attribution
from minicnn.explain.class_model import ClassModel, class_model, maximise
from minicnn.explain.deconvnet import Reconstruction, deconvnet, top_activations
from minicnn.explain.evaluation import evaluate_localisation
from minicnn.explain.faithfulness import evaluate_curves
from minicnn.explain.grad_cam import grad_cam
from minicnn.explain.gradient_input import gradient_times_input
from minicnn.explain.graph_cut import segment
from minicnn.explain.integrated_gradients import integrated_gradients
from minicnn.explain.localise import Detection, localise
from minicnn.explain.occlusion import occlusion
from minicnn.explain.pointing import evaluate_pointing
from minicnn.explain.prediction import Prediction, predict
from minicnn.explain.receptive_field import Box, receptive_field
from minicnn.explain.saliency import Saliency, saliency
from minicnn.explain.sanity import sanity_check
from minicnn.explain.smooth_gradient import smooth_gradient
from minicnn.explain.stimuli import Stimulus, top_stimuli

__all__ = [
    "Ascent",
    "Attribution",
    "Box",
    "ClassModel",
    "Detection",
    "Prediction",
    "Reconstruction",
    "Saliency",
    "Stimulus",
    "attribution",
    "class_model",
    "deconvnet",
    "evaluate_curves",
    "evaluate_localisation",
    "evaluate_pointing",
    "grad_cam",
    "gradient_times_input",
    "integrated_gradients",
    "localise",
    "maximise",
    "occlusion",
    "predict",
    "receptive_field",
    "saliency",
    "sanity_check",
    "segment",
    "smooth_gradient",
    "top_activations",
    "top_stimuli",
]
