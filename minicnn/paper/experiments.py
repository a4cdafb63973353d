"""The paper's experiments, one function each: figures into a folder, and what they show as parts of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.evaluate.dataset import Example
from minicnn.evaluate.localisation import CAUTION, LOCALISATION_MEASURES, PER_CENT, evaluate_localisation
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
from minicnn.explain.localise import get_localisation_method, saliency_seeds
from minicnn.explain.rules_table import group_by_kind, rules_by_layer
from minicnn.figures import provenance
from minicnn.figures.evaluation import write_csv, write_sheet
from minicnn.figures.explanation import name_of, write_class_model, write_explanation
from minicnn.figures.localisation import write_detection
from minicnn.figures.reconstruction import write_reconstructions
from minicnn.figures.rules import write_rules
from minicnn.images import load_image
from minicnn.network import Network
from minicnn.report import (
    Section,
    colour_map,
    contact_sheet,
    normalise,
    panels,
    save_png,
)
from minicnn.report.files import distinct_names

__all__ = ["EXPERIMENTS", "Task", "class_models", "deconvnets", "evaluations", "localisations", "saliencies"]

RULES = ("gradient", "deconvnet", "guided")


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
    rows, pictures, models = [], [], []
    for target in task.progress(_classes(task), "class model"):
        found = class_model(task.net, target, settings=Ascent(steps=task.steps))
        models.append(found)
        path = task.folder / f"class-{found.target}.png"
        write_class_model(path, found, task.origin, seed=0)
        pictures.append((found.image, f"{name_of(found)}: {found.probability:.4f}"))
        ends = (f"{found.scores[0]:.2f}", f"{found.scores[-1]:.2f}", f"{found.gradient_norms[-1]:.3g}")
        rows.append((name_of(found), *ends, f"{found.probability:.4f}", path.name))
    path = task.folder / "class-models.png"
    sheet = contact_sheet([pictures[i : i + 5] for i in range(0, len(pictures), 5)], cell=200)
    settings = asdict(models[0].settings) | {"seed": 0, "targets": [m.target for m in models]}
    arrays, said = {f"class {m.target}": m.x for m in models}, {"probabilities": [m.probability for m in models]}
    record = provenance.record("class-models", task.origin, [], None, settings, arrays, **said)
    save_png(sheet, path, provenance.metadata(record, sheet))
    words = (
        "The image that a class score likes best: S_c(I) - lambda ||I||^2 is climbed from the zero image with the "
        "weights fixed, and the mean is added to show the result. S_c is the score before softmax.",
        f"{task.steps} steps each. Below each picture stands the probability that the net gives it; it was never "
        "what was climbed. The files named in the table hold the picture and the history of the climb.",
    )
    header = ("class", "score at the start", "at the end", "gradient's norm", "probability", "figure")
    figure = (path.name, "Class models side by side", f"class models of {task.net.name}")
    return [Section("Class models (section 2)", words, (figure,), (header, rows))]


def _classes(task: Task) -> list[int]:
    count = task.net.forward(np.zeros((1, *task.net.input_shape), np.float32)).shape[1]
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
    rows, figures = [], []
    names = distinct_names(task.images[: task.shown], task.folder, "saliency")
    for image in task.progress(task.images[: task.shown], "map"):
        found = saliency(task.net, image)
        path = names[image]
        write_explanation(path, image, found, task.origin)
        figures.append((path.name, f"Photograph, map and overlay of {image.name}", image.name))
        rows.append((image.name, name_of(found), f"{found.score:.2f}", f"{found.probability:.1%}"))
    words = (
        "Near one image the score is almost linear, S_c(I) = w.I + b with w = dS_c/dI: one backward pass. The map "
        "is |w|, the largest over the colour channels; the mean over ten crops, each put back at its place.",
        "The class is the most probable one, over the ten crops together.",
    )
    header = ("image", "class", "score", "probability")
    return [Section("Saliency maps (section 3.1)", words, tuple(figures), (header, rows))]


def localisations(task: Task) -> list[Section]:
    """Localisation by graph cut (section 3.2) of the most probable class."""
    rows, figures, settings = [], [], get_localisation_method("paper").settings
    names = distinct_names(task.images[: task.shown], task.folder, "localisation")
    for image in task.progress(task.images[: task.shown], "cut"):
        try:
            (found,) = localise(task.net, image, 1)
        except MinicnnError as error:
            rows.append((image.name, str(error), ""))
            continue
        path = names[image]
        write_detection(path, image, found, saliency_seeds(found.saliency.map, settings), task.origin, settings)
        figures.append((path.name, f"Box, map, seeds and mask in {image.name}", f"{image.name}: {name_of(found)}"))
        rows.append((image.name, name_of(found), ", ".join(map(str, found.box))))
    words = (
        "No box and no mask is used. The map's strongest pixels seed a colour model of the object, its weakest "
        "one of the ground; the cut of least energy divides the picture, and the largest piece is boxed.",
    )
    header = ("image", "class", "box: xmin, ymin, xmax, ymax")
    return [Section("Localisation by graph cut (section 3.2)", words, tuple(figures), (header, rows))]


def evaluations(task: Task) -> list[Section]:
    """Localisation by the protocol of ILSVRC (section 3.2), where the images' objects are known."""
    if not task.examples:
        words = (f"{task.unlabelled}, so that nothing could be counted.",)
        return [Section("Localisation, counted", words)]
    found = evaluate_localisation(
        task.net, task.examples, "paper", keep=task.folder, progress=lambda items: task.progress(items, "picture")
    )
    sheet = task.folder / "worst-best.png"
    write_sheet(sheet, task.examples, found.rows, task.origin, "paper")
    write_csv(task.folder / "localisation.csv", found.rows)
    rows = [
        (name, *(f[m].text(m in PER_CENT) if m in f else "-" for m in LOCALISATION_MEASURES))
        for name, f in found.figures.items()
    ]
    wrong = ", ".join(f"{name} {figure.text(per_cent=True)}" for name, figure in found.classification.items())
    words = (
        f"{len(found.rows)} pictures of {found.groups} objects. A picture is right in its top five if one of the "
        "five most probable classes is right and its box has an intersection over union of at least 0.5 with the "
        "truth; the other measures are of the right class, whether seen or not. "
        "In brackets are 95 % intervals, by drawing objects anew.",
        f"Classification: {wrong}. One picture took {sum(found.seconds.values()):.2f} s. {CAUTION} The paper's "
        "own figure, on ILSVRC-2013's test set, is a top-5 error of 46.4 %.",
        "The lines below the first are answers that need no map, or no cut. Where they come near, success says "
        "that the pictures hold one thing that stands out, not that this class was found.",
    )
    figure = (sheet.name, "The pictures with the worst and the best boxes", "found in orange, truth in blue")
    return [Section("Localisation, counted", words, (figure,), (("answer", *LOCALISATION_MEASURES), rows))]


def deconvnets(task: Task) -> list[Section]:
    """Deconvnet and gradient (section 4): three rules on one image, and a feature map's strongest images."""
    image = task.images[0]
    maps = [saliency(task.net, image, crops="one", rule=rule) for rule in RULES]
    pictures = [(colour_map(normalise(found.map)), rule) for found, rule in zip(maps, RULES, strict=True)]
    path = task.folder / "rules.png"
    title = f"{image.name}: {name_of(maps[0])}"
    figure = panels([(np.asarray(load_image(image)), image.name), *pictures], title=title)
    settings, arrays = (
        {"crops": "one", "of": "score"},
        dict(zip(RULES, (found.map for found in maps), strict=True)),
    )
    record = provenance.record("three-rules", task.origin, [image], maps[0], settings, arrays)
    save_png(figure, path, provenance.metadata(record, figure))
    layer, channel = _feature_map(task)
    best = top_activations(task.net, task.progress(task.images, "activation"), layer, channel)
    found = [(path, deconvnet(task.net, path, layer, channel)) for path, _ in best]
    sheet = task.folder / "reconstructions.png"
    record = write_reconstructions(sheet, found, task.origin)
    words = (
        "A deconvnet carries an activation back to the pixels by the same convolutions and the same switches as "
        "the gradient. At ReLU it keeps what is positive on the way back, where the gradient keeps what was "
        "positive on the way forward; guided backpropagation asks for both. Nothing else differs.",
        f"Below, the images to which channel {channel} of {layer} answers most, cut to its receptive field, above "
        "the reconstruction of that one activation with all others set to zero (Zeiler and Fergus 2013).",
    )
    figures = (
        (path.name, "The three rules' maps of one image", "one image, one class, three rules"),
        (sheet.name, "Patches above their reconstructions", f"{layer}, channel {channel}"),
    )
    rows = [(Path(a["image"]).name, f"{a['value']:.3g}", str(a["position"])) for a in record["activations"]]
    header = ("image", "activation", "position")
    return [Section("Deconvnet and gradient (section 4)", words, figures, (header, rows)), _by_layer(task)]


def _by_layer(task: Task) -> Section:
    """Section 4's table: each kind of layer alone, how far the rules' answers to the same cotangent are apart."""
    image, path = task.images[0], task.folder / "rules-by-layer.png"
    kinds = group_by_kind(rules_by_layer(task.net, image))
    write_rules(path, image, kinds, task.origin)
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


def _feature_map(task: Task) -> tuple[str, int]:
    """Return a layer of maps about half way up, and the channel that answers the first image most."""
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
