"""Settings of random cases for the kernels, drawn by hypothesis.

A *setting* is a small dictionary (geometry, memory layout, kind of values, seed) that says everything about a
case, so that a failure prints it and it can be typed in again.
"""

import inspect

from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.kernels import reference
from minicnn.rules import DECONVNET, GRADIENT, GUIDED
from tests.helpers.kernel_arrays import LAYOUTS


def examples(count):
    """Hypothesis settings: the same ``count`` random examples in every run."""
    return settings(max_examples=count, derandomize=True, deadline=None)


def both(value):
    """A number or a pair, as a pair."""
    return value if isinstance(value, tuple) else (value, value)


def four_sides(padding):
    """Top, bottom, left, right of a padding in any of its three forms."""
    vertical, horizontal = both(padding)
    return (*both(vertical), *both(horizontal))


def _number_or_pair(low, high):
    number = st.integers(low, high)
    return number | st.tuples(number, number)


def _setting(*values, **entries):
    return st.fixed_dictionaries(
        {
            "layout": st.sampled_from(LAYOUTS),
            "values": st.sampled_from(values or ("normal",)),
            "seed": st.integers(0, 2**16),
            **entries,
        }
    )


def _maps(*values, **entries):
    """A setting with a shape (N, C, H, W), and whatever ``entries`` adds."""
    size = st.integers(1, 6)
    shape = st.tuples(st.integers(1, 3), size, size, size)
    return _setting(*values, shape=shape | shape.map(lambda s: (*s[:2], 1, 1)), **entries)


def _maps_or_rows(*values, **entries):
    """As ``_maps``, but sometimes (N, C)."""
    maps = _maps(*values, **entries)
    return maps | maps.map(lambda s: {**s, "shape": s["shape"][:2]})


@st.composite
def _windows(draw, setting, dilated=True, native=False):
    """Windows that fit, over an input; ``native``: with a padding that torch's pools take."""
    kernel_size, stride = draw(_number_or_pair(1, 4)), draw(_number_or_pair(1, 4))
    dilation = draw(_number_or_pair(1, 3)) if dilated else 1
    if native:
        padding = tuple(draw(st.integers(0, k // 2)) for k in both(kernel_size))
    else:
        pair = st.tuples(st.integers(0, 3), st.integers(0, 3))
        padding = draw(_number_or_pair(0, 3) | st.tuples(pair, pair))
    top, bottom, left, right = four_sides(padding)
    spans = [d * (k - 1) + 1 for k, d in zip(both(kernel_size), both(dilation), strict=True)]
    extra = draw(st.sampled_from((5, 5, 5, 0)))
    size = tuple(
        max(1, span - pads) + draw(st.integers(0, extra))
        for span, pads in zip(spans, (top + bottom, left + right), strict=True)
    )
    geometry = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "size": size}
    return draw(setting) | geometry | ({"dilation": dilation} if dilated else {})


_small = st.integers(1, 3)
_channels = {"n": _small, "groups": _small, "c": _small, "k": _small, "bias": st.booleans()}


@st.composite
def _transposed_windows(draw, setting):
    """Windows that leave an output of at least one pixel."""
    drawn = draw(_windows(setting))
    top, bottom, left, right = four_sides(drawn["padding"])
    output_padding, size = [], []
    for axis, pads in enumerate((top + bottom, left + right)):
        k, s, d = (both(drawn[name])[axis] for name in ("kernel_size", "stride", "dilation"))
        extra = draw(st.integers(0, s - 1))
        missing = max(0, 1 + pads - d * (k - 1) - 1 - extra)
        output_padding.append(extra)
        size.append(1 - (-missing // s) + draw(st.integers(0, 3)))
    return {**drawn, "output_padding": tuple(output_padding), "size": tuple(size)}


def pool_settings(native=False):
    """Settings of max-pool."""
    setting = _setting("normal", "ties", "specials", n=_small, c=_small, ceil_mode=st.booleans())
    return _windows(setting, native=native)


def average_settings(native=False):
    """Settings of average pool."""
    entries = {"n": _small, "c": _small, "ceil_mode": st.booleans(), "count_include_pad": st.booleans()}
    return _windows(_setting(**entries), dilated=False, native=native)


_rule = st.sampled_from((GRADIENT, DECONVNET, GUIDED))
_bounds = st.sampled_from(((0, 6), (0, 6.0), (-1.0, 1.0), (0.0, 2.5), (1.0, 4.0)))
_slope = st.sampled_from((0.01, 0.25, 0.0, -0.5, 1.0))
_lrn = {
    "size": st.integers(1, 7),
    "alpha": st.sampled_from((1e-4, 0.5, 1.0)),
    "beta": st.sampled_from((0.75, 0.5, 1.0)),
    "k": st.sampled_from((1.0, 2.0)),
}
_norm = {"eps": st.sampled_from((1e-5, 1e-3)), "weight": st.booleans(), "bias": st.booleans()}
_rectified = {"scale": st.booleans(), "clip_max": st.sampled_from((None, 6)), "rule": _rule}
_pair = st.tuples(st.integers(0, 3), st.integers(0, 3))
_cropped = st.just(((-1, 2), (1, -1))) | st.just(((2, -1), (0, 1)))  # no map here is smaller than a pixel
# operations of two arrays; each may be repeated along some axes
ELEMENTWISE = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
_repeated = st.lists(st.integers(1, 3), max_size=2, unique=True).map(tuple)

# functions of one number and their constants; those of positive numbers are drawn so
ACTIVATIONS = (
    ("abs", ()),
    ("elu", (1.0, 1.0, 1.0)),
    ("elu", (1.6732632423543772, 1.0507009873554805, 1.0)),
    ("elu", (0.7, 1.0, 1 / 0.7)),
    ("erf", ()),
    ("exp", ()),
    ("gelu", ()),
    ("gelu_tanh", ()),
    ("hardsigmoid", (1 / 6, 0.5)),
    ("hardsigmoid", (0.2, 0.5)),
    ("hardswish", ()),
    ("log", ()),
    ("log_sigmoid", ()),
    ("mish", ()),
    ("power", (2.0,)),
    ("power", (-1.0,)),
    ("power", (0.5,)),
    ("power", (-0.75,)),
    ("sigmoid", ()),
    ("silu", ()),
    ("softplus", (1.0, 20.0)),
    ("softplus", (2.0, 3.0)),
    ("softsign", ()),
    ("threshold", (1.0, 0.0)),
    ("threshold", (-0.5, -3.0)),
)
POSITIVE = ("log", "power")
_view = st.tuples(st.integers(1, 4), st.integers(1, 9), st.sampled_from((1, 1, 2, 5)))

SETTINGS = {
    "conv2d": _windows(_setting(**_channels)),
    "conv2d_relu": _windows(_setting(**_channels, **_rectified)),
    "conv_transpose2d": _transposed_windows(_setting(**_channels)),
    "pointwise": _maps_or_rows("normal", "kinks", activation=st.sampled_from(ACTIVATIONS)),
    "standardise": _setting(view=_view, eps=st.sampled_from((1e-2, 0.5)), centred=st.booleans()),
    "scale_and_shift": _setting(view=_view, weight=st.booleans(), bias=st.booleans()),
    "max_pool2d": pool_settings(),
    "avg_pool2d": average_settings(),
    "global_avg_pool2d": _maps(),
    "linear": _setting(shape=st.tuples(_small, st.integers(1, 20), st.integers(1, 8)), bias=st.booleans()),
    "relu": _maps_or_rows("normal", "kinks", rule=_rule),
    "hardtanh": _maps_or_rows("normal", "kinks", rule=_rule, bounds=_bounds),
    "leaky_relu": _maps_or_rows("normal", "kinks", negative_slope=_slope),
    "prelu": _maps_or_rows("normal", "kinks", shared=st.booleans()),
    "local_response_norm": _maps(**_lrn),
    "batch_norm2d": _maps(**_norm),
    "batch_norm2d_training": _maps(**_norm | {"eps": st.sampled_from((1e-2, 0.5))}),
    "softmax": _maps_or_rows(),
    "log_softmax": _maps_or_rows(),
    "cross_entropy": _setting(shape=st.tuples(st.integers(1, 5), st.integers(1, 12))),
    "flatten": _maps_or_rows(),
    "constant_pad2d": _maps(padding=_number_or_pair(0, 3) | st.tuples(_pair, _pair) | _cropped, value=_slope),
    "amax": _maps("normal", "ties", axes=st.sets(st.integers(0, 2), min_size=1).map(sorted).map(tuple)),
    "adaptive_max_pool2d": _maps("normal", "ties", output_size=st.tuples(st.integers(1, 5), st.integers(1, 5))),
    "resample": _maps(taps=st.tuples(*[st.tuples(st.sampled_from((True, False)), _small, st.integers(1, 7))] * 3)),
    "reshape": _maps(),
    "permute": _maps(axes=st.permutations(range(3)).map(tuple)),
    "concatenate": _maps(sizes=st.lists(_small, min_size=1, max_size=4), axis=st.integers(1, 3)),
    "dropout": _maps_or_rows(p=st.sampled_from((0.0, 0.2, 0.5, 0.9))),
}

SETTINGS |= {name: _maps("normal", "ties", repeated=st.tuples(_repeated, _repeated)) for name in ELEMENTWISE}

# operations of one array and nothing else: they need no line here, nor in kernel_cases and torch_oracle
POINTWISE = [
    name
    for name in reference.__all__
    if f"{name}_input_grad" in reference.__all__
    and list(inspect.signature(getattr(reference, name)).parameters) == ["x"]
    and name not in SETTINGS
]
SETTINGS |= {name: _maps_or_rows("normal", "kinks") for name in POINTWISE}


def drawn(operation, count):
    """Settings of an operation, ``count`` of them, as a test would see them."""
    settings = []

    @examples(count)
    @given(SETTINGS[operation])
    def collect(setting):
        settings.append(setting)

    collect()
    return settings


def _layer(n, groups, c, k, size, kernel_size, stride, padding, dilation=1):
    shape = {"n": n, "groups": groups, "c": c, "k": k, "bias": True, "size": (size, size)}
    window = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    return {"layout": "contiguous", "seed": 0, **shape, **window}


CONVOLUTIONS = {
    "AlexNet's first": _layer(1, 1, 3, 16, 63, 11, 4, 2),
    "AlexNet's second, two groups": _layer(2, 2, 12, 16, 27, 5, 1, 2),
    "VGG's 3x3": _layer(2, 1, 32, 24, 30, 3, 1, 1),
    "VGG's 3x3, odd size": _layer(1, 1, 16, 17, 23, 3, 1, 1),
    "Lite0's stem": _layer(1, 1, 3, 32, 64, 3, 2, ((0, 1), (0, 1))),
    "Lite0's expansion": _layer(2, 1, 24, 144, 14, 1, 1, 0),
    "Lite0's depthwise": _layer(2, 48, 1, 1, 28, 5, 2, ((1, 2), (1, 2))),
    "a depthwise of stride 1": _layer(1, 48, 1, 1, 28, 3, 1, 1),
    "a dilated one": _layer(1, 1, 16, 16, 24, 3, 1, 2, 2),
}
