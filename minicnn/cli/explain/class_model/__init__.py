"""``minicnn class-model CLASS...``: the image that maximises a class score, or a unit of any layer."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from minicnn.cli import common
from minicnn.cli.explain.class_model.units import Unit, name_figures, parse_units
from minicnn.cli.loop.each import list_failures
from minicnn.cli.loop.raw import RawFiles, add_raw, format_raw
from minicnn.cli.loop.results import add_overwrite, claim
from minicnn.cli.loop.sources import HELP, Failure, read_sources
from minicnn.cli.parsing.drawing import add_drawing
from minicnn.errors import MinicnnError

if TYPE_CHECKING:
    from minicnn.explain import Ascent, NaturalAscent
    from minicnn.network import Network

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "targets",
        nargs="+",
        metavar="CLASS",
        help="labels or numbers; with --layer, CHANNEL or CHANNEL,ROW,COLUMN",
    )
    common.add_network_options(parser)
    parser.add_argument("--layer", metavar="NAME", help="units of that layer, as 'minicnn inspect' names it")
    parser.add_argument(
        "--stimuli",
        metavar="IMAGES",
        action="append",
        default=[],
        help=f"show beneath, those of these images that activate the unit most: {HELP}; repeat for several",
    )
    parser.add_argument(
        "--top",
        type=common.integer_from(1),
        default=9,
        metavar="N",
        help="for --stimuli: how many (default: %(default)s)",
    )
    common.add_output(parser)
    add_overwrite(parser)
    add_drawing(parser)
    add_raw(parser, "the input, C x H x W,")
    parser.add_argument(
        "--style",
        choices=("paper", "natural"),
        default="paper",
        help="the paper's ascent, its contrast stretched, or later work's: spectrum and colours of photographs, "
        "robust to shift, scale and rotation (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=common.integer_from(0), default=0, help="of whatever is random (default: %(default)s)"
    )
    _add_ascent(parser)
    common.add_device(parser)
    common.add_json(parser)


def _add_ascent(parser: ArgumentParser) -> None:
    """Add the fields of ``minicnn.explain.Ascent``, those that were typed as ``settings``, and the constraint."""
    group = parser.add_argument_group(
        "ascent", "the paper's style, which has a penalty of lambda ||I||^2; --steps goes with either"
    )
    add = common.option_adder(group, "settings")
    add("--steps", type=int, metavar="N", help="default: 200")
    add(
        "--step",
        type=float,
        metavar="S",
        help="first step in input units (default: 0.05 u, where u is 1/3.25 of white - black)",
    )
    add("--l2", type=float, metavar="L", help="lambda of the penalty (default: 1.4 / sqrt(C H W) / u^2)")
    group.add_argument(
        "--constraint",
        choices=("l2_penalty", "l2_ball"),
        default="l2_penalty",
        help="subtract the penalty, or stay in a ball, as Le et al. 2012 do (default: %(default)s)",
    )
    add("--radius", type=float, metavar="R", help="of the ball, in input units (default: 10 u)")
    add("--restarts", type=int, metavar="N", help="climb from random images too, as Erhan et al. 2009")
    group = parser.add_argument_group(
        "later inventions", "for the paper's style; not in the paper, and off unless asked for"
    )
    add = common.option_adder(group, "settings")
    add("--jitter", type=int, metavar="N", help="shift by up to N pixels before each step")
    add("--blur", type=float, metavar="S", help="blur by S pixels every tenth step")
    add("--total-variation", type=float, metavar="W", help="weight of neighbours' differences")
    add("--clip", nargs=0, const=True, help="keep between black and white")
    add("--levels", type=int, metavar="N", help="climb from coarse to fine")


def run(arguments: Namespace) -> int:
    """Draw each class or unit, with the history of its ascent and, where asked for, its strongest images."""
    from minicnn.explain.top_images import top_images
    from minicnn.figures.class_model import write_class_model

    stimuli, unreadable = read_sources(arguments.stimuli), dict[str, Failure]()
    if arguments.stimuli:
        stimuli.check_any()
    settings = _make_settings(arguments.style, arguments.settings)
    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    units = parse_units(net, arguments.targets, arguments.layer)
    figures = name_figures(units, arguments)
    raw = RawFiles.asked_for(arguments, ("x",))
    figures = claim(arguments.output, figures, arguments.overwrite, raw.planned)
    ascend = _ascent(net, settings, arguments)

    def leave_out(error: MinicnnError) -> None:
        unreadable[str(error)] = Failure("", str(error))

    def draw(text: str) -> dict[str, Any]:
        model, chosen = ascend(units[text])
        searched = common.with_progress(stimuli.paths, "image")
        how = arguments.layer, units[text], arguments.top, leave_out
        strongest = top_images(net, searched, *how) if stimuli.files else []
        record = write_class_model(
            figures[text], model, origin, arguments.seed, chosen, strongest, len(stimuli.files)
        )
        return record | raw.write(figures[text], {"x": lambda: model.x})

    unit = "class" if arguments.layer is None else "unit"
    status = common.run_for_each(list(units), draw, format_class_models, arguments.json, unit)
    failures = [*stimuli.failures, *unreadable.values()]
    return status | list_failures(failures, stimuli.total, "image")


def _ascent(net: Network, settings: Ascent | NaturalAscent, arguments: Namespace) -> Callable[[Unit], Any]:
    """Return a function of a unit that gives its image, and what was chosen unless it is a plain class model."""
    from minicnn.explain import class_model, maximise

    layer, constraint = arguments.layer, arguments.constraint
    how: dict[str, Any] = {"style": arguments.style, "settings": settings, "seed": arguments.seed}
    how["progress"] = _step_progress

    def ascend(unit: Unit) -> Any:
        if layer is None and constraint != "l2_ball" and isinstance(unit, int):
            return class_model(net, unit, **how), None
        chosen = {"layer": layer, "unit": unit, "constraint": constraint}
        return maximise(net, layer, unit, constraint, **how), chosen

    return ascend


def _make_settings(style: str, typed: dict[str, Any]) -> Ascent | NaturalAscent:
    """Return a style's settings; raise for an option of the other."""
    from minicnn.explain import Ascent, NaturalAscent

    if style == "paper":
        return Ascent(**typed)
    foreign = [f"--{name.replace('_', '-')}" for name in typed if name != "steps"]
    if foreign:
        raise common.UsageError(
            f"{foreign[0]}: belongs to --style paper; of the natural style --steps and --seed can be set"
        )
    return NaturalAscent(**typed)


def _step_progress(steps: Iterable[int]) -> Iterable[int]:
    return common.with_progress(steps, "step")


def format_class_models(records: list[dict[str, Any]]) -> str:
    """Return one line a class or unit: value, probability and the figure's path; then its strongest images."""
    lines = []
    for r in records:
        probability = "" if r["probability"] is None else f", probability {r['probability']:.2%}"
        unit = (
            f"{r['layer'] or 'scores'}, unit {r['unit']}: value"
            if "unit" in r
            else f"{common.class_name(r)}: score"
        )
        lines.append(f"{unit} {r['score']:.4g}{probability}, {r['stopped']} -> {r['figure']}{format_raw(r)}")
        shown = r.get("stimuli", {"values": [], "images": []})
        lines += [f"  {v:9.3f}  {image}" for v, image in zip(shown["values"], shown["images"], strict=True)]
    return "\n".join(lines)
