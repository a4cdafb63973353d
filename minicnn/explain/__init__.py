"""The paper's methods, one file a method."""

from typing import TYPE_CHECKING, Any

from minicnn._utils.lazy import import_on_use

if TYPE_CHECKING:
    from minicnn.explain.attribution import Attribution, attribution
    from minicnn.explain.class_model import ClassModel, class_model, maximise
    from minicnn.explain.deconvnet import Reconstruction, deconvnet, top_activations
    from minicnn.explain.features.feature_maps import FeatureMaps, feature_maps
    from minicnn.explain.features.filters import Filters, filters
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

    evaluate_localisation: Any  # it lies above the methods that it measures

__all__ = [
    "Ascent",
    "Attribution",
    "Box",
    "ClassModel",
    "Detection",
    "FeatureMaps",
    "Filters",
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
    "feature_maps",
    "filters",
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

import_on_use(
    __name__,
    {
        "attribution": "Attribution attribution",
        "class_model": "ClassModel class_model maximise",
        "deconvnet": "Reconstruction deconvnet top_activations",
        "features.feature_maps": "FeatureMaps feature_maps",
        "features.filters": "Filters filters",
        "grad_cam": "grad_cam",
        "gradient_ascent": "Ascent",
        "gradient_input": "LinearModel gradient_times_input linear_model",
        "integrated_gradients": "integrated_gradients",
        "localise": "Detection localise",
        "natural.ascent": "NaturalAscent",
        "occlusion": "occlusion",
        "prediction": "Prediction predict",
        "receptive_field": "Box receptive_field",
        "saliency": "Saliency saliency",
        "smooth_gradient": "smooth_gradient",
        "top_images": "TopImage top_images",
        "minicnn.segmentation.graph_cut": "segment",
        "minicnn.evaluate": "evaluate_localisation",
    },
)
