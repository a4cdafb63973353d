"""The demonstration: the shipped images predicted and explained, as figures and a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from minicnn._utils.counted import counted
from minicnn._utils.types import PathLike
from minicnn.explain import localise, predict, saliency
from minicnn.explain.localise import DEFAULT_METHOD, get_localisation_method
from minicnn.figures.localisation import write_detection
from minicnn.figures.saliency import write_saliency
from minicnn.figures.three_rules import write_three_rules
from minicnn.io import catalogue
from minicnn.io.digest import digest_network
from minicnn.io.load import load
from minicnn.network import Network
from minicnn.report import Section, write_page
from minicnn.report.files import make_folder

__all__ = ["FILES", "demo"]

IMAGES = {
    "efficientnet-lite0": ("chelsea.png", "coffee.png", "koala.jpg", "jaguar.jpg", "rocket.jpg"),
    "digits": ("seven.png",),
}
# two boxes that are right and one that is not; without the compiled engine each takes some ten seconds
BOXED = {"coffee.png": "", "koala.jpg": "", "jaguar.jpg": "; a failure: two animals in one box"}
# a network of the paper's kind: its max-pools have the switches that a deconvnet needs
RULES_NET, RULES_IMAGE = "squeezenet1_1", "chelsea.png"

# all that is written
FILES = (
    *(f"{Path(name).stem}.saliency.png" for names in IMAGES.values() for name in names),
    *(f"{Path(name).stem}.localisation.png" for name in BOXED),
    f"{Path(RULES_IMAGE).stem}.rules.png",
    "index.html",
    "index-pictures",
)


def demo(
    output: PathLike, crops: str = "ten", device: str = "auto", on_written: Callable[[Path], None] | None = None
) -> list[dict[str, Any]]:
    """Predict and explain the shipped images; write a figure of each and ``index.html``.

    Parameters
    ----------
    output : path of a folder; made if it is missing
    crops : of the saliency maps, see ``minicnn.explain.saliency``
    device : where to compute, see ``Network.to``
    on_written : called with the path of each file once it is written

    Returns
    -------
    records : list of {"image", "net", "predictions", "figure", ...}, one an image

    Raises
    ------
    ImageError
        If the folder can't be written.

    See Also
    --------
    minicnn.paper.reproduce.reproduce : every experiment of the paper on other images

    """
    output = Path(output)
    make_folder(output)
    records = []
    for name, files in IMAGES.items():
        net = load(name).to(device)
        origin = digest_network(net, name)
        for file in files:
            records.append(_explain(net, origin, catalogue.folder("images") / file, output, crops))
            if on_written is not None:
                for written in (records[-1], records[-1].get("localisation")):
                    if written is not None:
                        on_written(Path(written["figure"]))
    rules = output / f"{Path(RULES_IMAGE).stem}.rules.png"
    net = load(RULES_NET).to(device)
    write_three_rules(rules, net, catalogue.folder("images") / RULES_IMAGE, digest_network(net, RULES_NET))
    page = output / "index.html"
    write_page(page, "What a ConvNet sees", [_introduction(crops), *map(_section, records), _rules_section(rules)])
    if on_written is not None:
        on_written(rules)
        on_written(page)
    return records


def _explain(net: Network, origin: dict[str, Any], image: Path, output: Path, crops: str) -> dict[str, Any]:
    predictions = predict(net, image, crops)
    explanation = saliency(net, image, predictions[0].target, crops)
    record = write_saliency(output / f"{image.stem}.saliency.png", image, explanation, origin)
    record = {**record, "image": image.name, "predictions": [p._asdict() for p in predictions]}
    if image.name not in BOXED:
        return record
    (detection,) = localise(net, image, [predictions[0].target], method=DEFAULT_METHOD)
    settings = get_localisation_method(DEFAULT_METHOD).settings
    box = write_detection(output / f"{image.stem}.localisation.png", image, detection, origin, settings)
    return {**record, "localisation": box}


def _introduction(crops: str) -> Section:
    return Section(
        "How to read it",
        paragraphs=(
            "A saliency map answers one question: which pixels would have to change least for the score of a "
            "class to change most? It is the absolute gradient of the class score with respect to the image, the "
            "largest over the colour channels, bright where it is large.",
            f"Each map is that of the class that heads its table; both are means over the views (crops={crops}). "
            "Method: Simonyan, Vedaldi, Zisserman, Deep Inside Convolutional Networks, 2013.",
        ),
    )


def _section(record: dict[str, Any]) -> Section:
    name = record["label"]
    rows = [(p["label"], f"{p['probability']:.1%}", f"{p['score']:.2f}") for p in record["predictions"]]
    caption = f"{record['net']}, rule {record['rule']}"
    alt = f"{record['image']} for the class {name}"
    figures = [(record["figure"], alt, caption)]
    if "localisation" in record:
        box = record["localisation"]
        caption = f"Where it is, by {box['method']}; no box was learnt; confidence {box['confidence']:.0%}"
        figures.append((box["figure"], f"Where the {name} is", caption + BOXED[record["image"]]))
    return Section(
        f"{record['image']}: {name}",
        figures=tuple(figures),
        table=(("class", f"probability ({counted(record['views'], 'view')})", "score"), rows),
    )


def _rules_section(figure: Path) -> Section:
    words = (
        "A deconvnet carries scores back to the pixels by the gradient's own steps, but for ReLU: there it keeps "
        "what is positive on the way back. Guided backpropagation keeps what is positive both ways. They draw "
        "outlines well, and nearly the same ones for every class: the gradient answers the question above.",
    )
    alt = f"Three rules on {RULES_IMAGE}"
    caption = f"{RULES_IMAGE}, centre crop, {RULES_NET}"
    return Section("Three ways back to the pixels", words, figures=((figure, alt, caption),))
