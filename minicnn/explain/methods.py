"""The table of methods: what the command line, the comparisons, the sanity checks and the documentation know.

To add a method, write a function in a file of its own and an entry here::

    def gradient_norm_maps(net, x, target, *, progress: Progress = iter) -> AttributionMaps: ...

    Method("gradient-norm", gradient_norm_maps, Reference("A. Author", 2025, "Title"))

Nothing else lists the methods or their settings.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from minicnn._utils.types import Shape
from minicnn.errors import MinicnnError
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.explain.grad_cam import choose_layer, grad_cam_maps
from minicnn.explain.gradient import gradient_maps
from minicnn.explain.gradient_input import gradient_input_maps
from minicnn.explain.integrated_gradients import BASELINES, EXACT, integrated_gradient_maps
from minicnn.explain.occlusion import choose_window, occlusion_maps
from minicnn.explain.smooth_gradient import smooth_gradient_maps
from minicnn.network import Network
from minicnn.rules import DECONVNET, GRADIENT, GUIDED, RULES, Rule

__all__ = [
    "METHODS",
    "Method",
    "Methods",
    "Reference",
    "Setting",
    "command_methods",
    "command_options",
    "complete_settings",
    "get_method",
    "quick_methods",
    "select_methods",
]


class Reference(NamedTuple):
    """The publication of a method."""

    authors: str
    year: int
    title: str


@dataclass(frozen=True)
class Setting:
    """A parameter of a method.

    Attributes
    ----------
    default : its value unless given; None if it is chosen from the network and the input's shape
    type : int, float, str or bool
    help : str, one line: what it is
    unit : str, for options: what it is counted in
    minimum : int, optional, the least value
    choices : tuple of str, the values that can be typed; empty if any can
    word : str, what can be typed in the place of a number
    default_help : str, what is chosen where ``default`` is None
    metavar : str, its placeholder in the help of the command line
    option : bool, whether ``minicnn saliency`` has an option ``--NAME`` for it

    """

    default: Any
    type: type
    help: str
    unit: str = ""
    minimum: int | None = None
    choices: tuple[str, ...] = ()
    word: str | None = None
    default_help: str = ""
    metavar: str | None = None
    option: bool = True


@dataclass(frozen=True)
class Method:
    """A method of explanation.

    Attributes
    ----------
    name : str, as people type it
    function : ``function(net, x, target, *, progress, **settings)`` of x (V, C, H, W), returns ``AttributionMaps``
    reference : Reference
    settings : {name: Setting}
    signed : bool, whether the published map says what speaks against the class too
    passes : int, how many forward and backward passes of a view its defaults take, about
    crops : str, the views unless others are asked for: what its authors look at
    rule : Rule, for the gradient by a backward rule; such methods share one forward pass
    choose_defaults : ``choose_defaults(net, shape, settings)`` returns the settings with those that are None
        chosen for inputs of ``shape`` (C, H, W)

    """

    name: str
    function: Callable[..., AttributionMaps]
    reference: Reference
    settings: Mapping[str, Setting] = field(default_factory=dict)
    signed: bool = False
    passes: int = 1
    crops: str = "one"
    rule: Rule | None = None
    choose_defaults: Callable[[Network, Shape, dict[str, Any]], dict[str, Any]] | None = None

    @property
    def from_paper(self) -> bool:
        """Whether it is the paper's own method."""
        return self.rule == GRADIENT

    @property
    def defaults(self) -> dict[str, Any]:
        """Default settings by name."""
        return {name: setting.default for name, setting in self.settings.items()}


def _rule_method(rule: Rule, reference: Reference) -> Method:
    # the rule stands beside the function, so that a comparison of rules can share one forward pass
    return Method(rule.name, functools.partial(gradient_maps, rule=rule), reference, rule=rule)


_RULE = Setting("gradient", str, "backward rule of ReLU", choices=tuple(rule.name for rule in RULES), option=False)

_ENTRIES = (
    _rule_method(
        GRADIENT,
        Reference(
            "Simonyan, Vedaldi, Zisserman",
            2013,
            "Deep inside convolutional networks: visualising image classification models and saliency maps",
        ),
    ),
    _rule_method(
        DECONVNET, Reference("Zeiler, Fergus", 2013, "Visualizing and understanding convolutional networks")
    ),
    _rule_method(
        GUIDED,
        Reference(
            "Springenberg, Dosovitskiy, Brox, Riedmiller",
            2014,
            "Striving for simplicity: the all convolutional net",
        ),
    ),
    Method(
        "gradient-x-input",
        gradient_input_maps,
        Reference(
            "Shrikumar, Greenside, Shcherbina, Kundaje",
            2016,
            "Not just a black box: learning important features through propagating activation differences",
        ),
        settings={"rule": _RULE},
        signed=True,
    ),
    Method(
        "smoothgrad",
        smooth_gradient_maps,
        Reference("Smilkov, Thorat, Kim, Viégas, Wattenberg", 2017, "SmoothGrad: removing noise by adding noise"),
        settings={
            "samples": Setting(16, int, "noisy copies of each view", minimum=1, metavar="N"),
            "noise": Setting(
                0.15, float, "standard deviation", unit="in parts of the range", minimum=0, metavar="S"
            ),
            "seed": Setting(0, int, "of the noise", minimum=0, metavar="N"),
            "rule": _RULE,
            "squared": Setting(False, bool, "root of the mean square instead of the mean", option=False),
        },
        passes=16,
    ),
    Method(
        "integrated-gradients",
        integrated_gradient_maps,
        Reference("Sundararajan, Taly, Yan", 2017, "Axiomatic attribution for deep networks"),
        settings={
            "steps": Setting(
                50,
                int,
                "gradients on the way from the baseline",
                "or 'exact': kinks are located, so that the map adds up",
                minimum=1,
                word=EXACT,
                metavar="N",
            ),
            "baseline": Setting("black", str, "a black image, or the training data's mean", choices=BASELINES),
            "tolerance": Setting(
                0.05,
                float,
                "by how much an exact map may still move",
                "for --steps exact, in parts of the map",
                minimum=0,
                metavar="T",
            ),
        },
        signed=True,
        passes=50,
    ),
    Method(
        "grad-cam",
        grad_cam_maps,
        Reference(
            "Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra",
            2017,
            "Grad-CAM: visual explanations from deep networks via gradient-based localization",
        ),
        settings={
            "layer": Setting(
                None, str, "whose maps are weighted", default_help="the last convolutional", metavar="NAME"
            )
        },
        # coarse maps of the whole picture, and not of its centre alone
        crops="whole",
        choose_defaults=choose_layer,
    ),
    Method(
        "occlusion",
        occlusion_maps,
        Reference("Zeiler, Fergus", 2014, "Visualizing and understanding convolutional networks"),
        settings={
            "window": Setting(
                None, int, "side of the square", "pixels", minimum=1, default_help="a seventh", metavar="N"
            ),
            "stride": Setting(
                None, int, "pixels between windows", minimum=1, default_help="half the window", metavar="N"
            ),
            "fill": Setting(0.0, float, "value of covered pixels, in units of the input", option=False),
        },
        signed=True,
        # a window of a seventh of the side, moved by half of itself, has 13 x 13 places
        passes=169,
        choose_defaults=choose_window,
    ),
)

METHODS: dict[str, Method] = {method.name: method for method in _ENTRIES}


def get_method(name: str) -> Method:
    """Return the method of that name.

    Raises
    ------
    MinicnnError
        If there is none; the message lists those there are.

    """
    if name not in METHODS:
        raise MinicnnError(f"method: expected one of {', '.join(METHODS)}, got {name!r:.80}")
    return METHODS[name]


def complete_settings(net: Network, name: str, shape: Shape, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of a method for inputs of ``shape`` (C, H, W): those given, and the defaults.

    Raises
    ------
    MinicnnError
        If there is no such method, or it has no such setting.

    Examples
    --------
    >>> import minicnn
    >>> complete_settings(minicnn.load("digits"), "occlusion", (1, 28, 28), {"stride": 3})
    {'window': 4, 'stride': 3, 'fill': 0.0}

    """
    method = get_method(name)
    unknown = sorted(set(given) - set(method.settings))
    if unknown:
        takes = f"takes {', '.join(method.settings)}" if method.settings else "takes none"
        raise MinicnnError(f"{name}: has no parameter {unknown[0]!r:.80}; it {takes}")
    # some defaults depend on the network or the input, such as a layer or a window: these are still None
    settings = {**method.defaults, **given}
    return settings if method.choose_defaults is None else method.choose_defaults(net, shape, settings)


def quick_methods(max_passes: int) -> tuple[str, ...]:
    """Names of the methods whose defaults take at most so many passes of a view.

    Examples
    --------
    >>> "gradient" in quick_methods(max_passes=1), "occlusion" in quick_methods(max_passes=1)
    (True, False)

    """
    return tuple(method.name for method in METHODS.values() if method.passes <= max_passes)


Methods: TypeAlias = Mapping[str, Mapping[str, Any]] | Sequence[str]  # names, or {name: settings}


def select_methods(
    net: Network, shape: Shape, methods: Methods | None, max_passes: int
) -> dict[str, dict[str, Any]]:
    """Return {name: every setting} of methods, the quick ones for None, for inputs of ``shape`` (C, H, W)."""
    methods = quick_methods(max_passes) if methods is None else methods
    given = methods if isinstance(methods, Mapping) else {name: {} for name in methods}
    return {name: complete_settings(net, name, shape, settings) for name, settings in given.items()}


def command_methods() -> tuple[str, ...]:
    """Names that ``minicnn saliency --method`` takes: the other rules than the gradient's are ``--rule``."""
    return tuple(method.name for method in METHODS.values() if method.rule in (None, GRADIENT))


def command_options() -> dict[str, tuple[Setting, str]]:
    """Options of ``minicnn saliency`` that are the methods' settings: {name: (setting, line of help)}.

    An option that several methods have is parsed as the first has it; its help names them all.
    """
    options: dict[str, tuple[Setting, str]] = {}
    for method in METHODS.values():
        for name, setting in method.settings.items():
            if setting.option:
                # one option for all methods that have the setting; the line of help grows by each of them
                first, line = options.get(name, (setting, ""))
                options[name] = (first, "; ".join(filter(None, (line, _help(method, setting)))))
    return options


def _help(method: Method, setting: Setting) -> str:
    unit = f", {setting.unit}" if setting.unit else ""
    return f"of {method.name}{unit} (default: {setting.default_help or setting.default})"
