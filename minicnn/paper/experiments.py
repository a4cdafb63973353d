"""The paper's experiments, one function each: figures into a folder, and what they show as parts of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.evaluate.dataset import Example
from minicnn.evaluate.datasets.annotation import Skipped
from minicnn.evaluate.localisation import evaluate_localisation
from minicnn.evaluate.localisation_result import CAUTION, LOCALISATION_MEASURES, PER_CENT
from minicnn.explain import (
    Ascent,
    class_model,
    deconvnet,
    localise,
    predict,
    saliency,
    top_activations,
)
from minicnn.explain.deconvnet import most_active_channel
from minicnn.explain.localise import MaskSettings
from minicnn.explain.rules_table import group_by_kind, rules_by_layer
from minicnn.figures.class_model import write_class_model
from minicnn.figures.class_models import write_class_models
from minicnn.figures.common import class_name
from minicnn.figures.evaluation.worst_best import write_localisation_csv, write_worst_best
from minicnn.figures.features.deconvnet import write_reconstructions
from minicnn.figures.localisation import write_detection
from minicnn.figures.rules_table import write_rules_table
from minicnn.figures.saliency import write_saliency
from minicnn.figures.three_rules import write_three_rules
from minicnn.network import Network
from minicnn.report import Section
from minicnn.report.files import distinct_names

__all__ = ["EXPERIMENTS", "Task", "class_models", "deconvnets", "evaluations", "localisations", "saliencies"]


@dataclass(frozen=True)
class Task:
    """What the experiments are run on.

    Attributes
    ----------
    net : Network
    origin : dict, which network, as ``minicnn.io.digest.digest_network`` says it
    images : paths
    examples : of the images whose objects are known, if any are: ``minicnn.evaluate.dataset.Example``
    unlabelled : str, why there are none
    folder : Path, where figures go
    steps : int, of each class model
    shown : int, how many classes and images get a figure of their own
    progress : wraps an iterable that takes long, with a word for what it yields

    """

    net: Network
    origin: Mapping[str, Any]
    images: Sequence[Path]
    folder: Path
    examples: Sequence[Example] = ()
    unlabelled: str = "The images came without boxes"
    steps: int = 200
    shown: int = 6
    progress: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, _: items


def class_models(task: Task) -> list[Section]:
    """Class models (paper, section 2) of every class, or of those seen in the first images."""
    rows, models = [], []
    for target in task.progress(_choose_classes(task), "class model"):
        model = class_model(task.net, target, settings=Ascent(steps=task.steps))
        models.append(model)
        path = task.folder / f"class-{model.target}.png"
        write_class_model(path, model, task.origin, seed=0)
        numbers = (f"{model.scores[0]:.2f}", f"{model.scores[-1]:.2f}", f"{model.gradient_norms[-1]:.3g}")
        rows.append((class_name(model), *numbers, f"{model.probability:.4f}", path.name))
    sheet = task.folder / "class-models.png"
    write_class_models(sheet, models, task.origin)
    words = (
        "The image that maximises a class score: gradient ascent on S_c(I) - lambda ||I||^2 from the zero image "
        "with the weights fixed; the mean is added to show the result. S_c is the score before softmax.",
        f"{task.steps} steps each. Below each picture stands the probability that the net gives it; it was never "
        "what was maximised. The files named in the table hold the picture and the history of the ascent.",
    )
    header = ("class", "score at the start", "at the end", "gradient's norm", "probability", "figure")
    figure = (sheet.name, "Class models side by side", f"class models of {task.net.name}")
    return [Section("Class models (section 2)", words, (figure,), (header, rows))]


def _choose_classes(task: Task) -> list[int]:
    """Return all classes where they are few, else those of the first images."""
    count = task.net.forward(np.zeros((1, *(task.net.input_shape or ())), np.float32)).shape[1]
    if count <= 10:
        return list(range(count))
    seen: dict[int, None] = {}
    for image in task.images:
        seen.setdefault(predict(task.net, image, top=1)[0].target)
        if len(seen) == task.shown:
            break
    return list(seen)


def saliencies(task: Task) -> list[Section]:
    """Saliency maps (section 3.1) of the most probable class over ten crops."""
    rows: list[tuple[str, ...]] = []
    figures: list[tuple[str, str, str]] = []
    names = distinct_names(task.images[: task.shown], task.folder, "saliency")
    for image in task.progress(task.images[: task.shown], "map"):
        explained = saliency(task.net, image)
        path = names[image]
        write_saliency(path, image, explained, task.origin)
        figures.append((path.name, f"Saliency of {image.name}", class_name(explained)))
        rows.append((image.name, class_name(explained), f"{explained.score:.2f}", f"{explained.probability:.1%}"))
    words = (
        "Near one image the score is almost linear, S_c(I) = w.I + b with w = dS_c/dI: one backward pass. The map "
        "is |w|, the largest over the colour channels; the mean over ten crops, each put back at its place.",
        "The class is the most probable one, over the ten crops together.",
    )
    header = ("image", "class", "score", "probability (10 views)")
    return [Section("Saliency maps (section 3.1)", words, tuple(figures), (header, rows))]


def localisations(task: Task) -> list[Section]:
    """Localisation by graph cut (section 3.2) of the most probable class."""
    settings = MaskSettings()
    rows: list[tuple[str, ...]] = []
    figures: list[tuple[str, str, str]] = []
    names = distinct_names(task.images[: task.shown], task.folder, "localisation")
    for image in task.progress(task.images[: task.shown], "cut"):
        try:
            (detection,) = localise(task.net, image, 1, method="paper")
        except MinicnnError as error:
            rows.append((image.name, str(error), ""))
            continue
        path = names[image]
        write_detection(path, image, detection, task.origin, settings)
        name = class_name(detection)
        figures.append((path.name, f"Box, map, seeds and mask in {image.name}", f"{image.name}: {name}"))
        rows.append((image.name, name, ", ".join(map(str, detection.box))))
    words = (
        "No box and no mask is used. The map's strongest pixels seed a colour model of the object, its weakest "
        "one of the background; the cut of least energy divides the picture, and the largest piece is boxed.",
    )
    header = ("image", "class", "box: xmin, ymin, xmax, ymax")
    return [Section("Localisation by graph cut (section 3.2)", words, tuple(figures), (header, rows))]


def evaluations(task: Task) -> list[Section]:
    """Localisation by the protocol of ILSVRC (section 3.2), where the images' objects are known."""
    if not task.examples:
        return [Section("Localisation, counted", (f"{task.unlabelled}, so that nothing could be counted.",))]
    left_out: list[Skipped] = []
    evaluation = evaluate_localisation(
        task.net,
        task.examples,
        "paper",
        keep=task.folder,
        progress=lambda items: task.progress(items, "picture"),
        skip=left_out.append,
    )
    sheet = task.folder / "worst-best.png"
    write_worst_best(sheet, evaluation.examples, evaluation.rows, task.origin, "paper")
    write_localisation_csv(task.folder / "localisation.csv", evaluation.rows)
    rows = [
        (name, *(means[m].text(m in PER_CENT) if m in means else "-" for m in LOCALISATION_MEASURES))
        for name, means in evaluation.estimates.items()
    ]
    errors = ", ".join(f"{name} {mean.text(per_cent=True)}" for name, mean in evaluation.classification.items())
    words = (
        f"{len(evaluation.rows)} pictures of {evaluation.groups} objects. A picture is right in its top five if "
        "one of the five most probable classes is right and its box has an intersection over union of at least "
        "0.5 with the truth; the other measures are of the right class, whether seen or not. "
        "In brackets are 95 % intervals, by drawing objects anew.",
        f"{evaluation.map_accuracy.text()}.",
        f"Classification: {errors}. One picture took {sum(evaluation.seconds.values()):.2f} s. {CAUTION} The "
        "paper's own figure, on ILSVRC-2013's test set, is a top-5 error of 46.4 %.",
        "The lines below the first are answers that need no map, or no cut. Where they come near, success says "
        "that the pictures hold one thing that stands out, not that this class was found.",
        *(f"Left out: {picture.reason}." for picture in left_out),
    )
    figure = (sheet.name, "The pictures with the worst and the best boxes", "found in orange, truth in blue")
    return [Section("Localisation, counted", words, (figure,), (("answer", *LOCALISATION_MEASURES), rows))]


def deconvnets(task: Task) -> list[Section]:
    """Deconvnet and gradient (section 4): three rules on one image, and a feature map's strongest images."""
    rules = task.folder / "rules.png"
    write_three_rules(rules, task.net, task.images[0], task.origin)
    layer, channel = _choose_feature_map(task)
    strongest = top_activations(task.net, task.progress(task.images, "activation"), layer, channel)
    reconstructions = [(image, deconvnet(task.net, image, layer, channel)) for image, _ in strongest]
    sheet = task.folder / "reconstructions.png"
    record = write_reconstructions(sheet, reconstructions, task.origin, net=task.net)
    words = (
        "A deconvnet carries an activation back to the pixels by the same convolutions and the same switches as "
        "the gradient. At ReLU it keeps what is positive on the way back, where the gradient keeps what was "
        "positive on the way forward; guided backpropagation asks for both. Nothing else differs.",
        f"Below, the images that activate channel {channel} of {layer} most, cut to its receptive field, above "
        "the reconstruction of that one activation with all others set to zero (Zeiler and Fergus 2013).",
    )
    figures = (
        (rules.name, "The three rules' maps of one image", "one image, one class, three rules"),
        (sheet.name, "Patches above their reconstructions", f"{layer}, channel {channel}"),
    )
    rows = [(Path(a["image"]).name, f"{a['value']:.3g}", str(a["position"])) for a in record["activations"]]
    header = ("image", "activation", "position")
    return [Section("Deconvnet and gradient (section 4)", words, figures, (header, rows)), _rules_by_layer(task)]


def _rules_by_layer(task: Task) -> Section:
    """Section 4's table: each kind of layer alone, how far the rules' results for one cotangent differ."""
    image, path = task.images[0], task.folder / "rules-by-layer.png"
    kinds = group_by_kind(rules_by_layer(task.net, image))
    write_rules_table(path, image, kinds, task.origin)
    rows = [
        (k.kind, k.count, *(("not defined",) * 2 if k.deviation is None else (f"{d:.3g}" for d in k.deviation)))
        for k in kinds
    ]
    words = (
        "Each layer by itself: its input is what the image makes of it, and the same random numbers go back "
        "through it by each rule. Shown is the largest difference from the gradient, in parts of its largest "
        "value. It is 0 but for rectifiers.",
    )
    header = ("kind of layer", "how many", "deconvnet against gradient", "guided against gradient")
    figure = (path.name, "One row a kind of layer, one column a rule", "the table of section 4, computed")
    return Section("The three rules, layer by layer", words, (figure,), (header, rows))


def _choose_feature_map(task: Task) -> tuple[str, int]:
    """Return a layer of maps about half way up, and the channel that the first image activates most."""
    layers = [row for row in task.net.summary_rows() if len(row["output_shape"]) == 3]
    layers = [row for row in layers if row["output_shape"][1] > 4] or layers
    if not layers:
        raise MinicnnError(f"{task.net.name}: has no feature maps that a deconvnet could reconstruct")
    name = layers[len(layers) // 2]["name"]
    return name, most_active_channel(task.net, task.images[0], name)


EXPERIMENTS = {
    "class-models": class_models,
    "saliency": saliencies,
    "localisation": localisations,
    "evaluation": evaluations,
    "deconvnet": deconvnets,
}
