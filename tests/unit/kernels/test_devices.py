"""The contract of a device, and what every device must share with the reference: names, values, manners."""

import inspect
import pkgutil
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import DeviceError
from minicnn.kernels import DEVICES, on, reference
from tests.helpers.kernel_arrays import assert_close
from tests.helpers.kernel_cases import CASES, calls_of
from tests.helpers.kernel_settings import CONVOLUTIONS, SETTINGS, drawn, examples

FORWARD = [name for name in reference.__all__ if not name.endswith("_grad")]
GRADIENTS = [name for name in reference.__all__ if name.endswith("_grad")]
# hardtanh's gradient is ReLU's, by its own mask, the transpose's bias is added as the convolution's is, and where
# weights are trained convolution and rectifier are separate steps.
SHARED = {
    "hardtanh": ["relu_input_grad"],
    "conv_transpose2d": ["conv2d_bias_grad"],
    "conv2d_relu": ["conv2d_weight_grad"],
}


def _module(request):
    """The device's module; skipped where it can't compute: test_cuda.py runs device "cuda" in a simulator then."""
    try:
        return on(request.param)
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=DEVICES)
def declared(request):
    """The device's module, which can be read without a GPU; skipped where Numba is not installed."""
    if request.param != "reference":
        pytest.importorskip("numba")
    return import_module(f"minicnn.kernels.{request.param}")


kernels = pytest.fixture(_module, scope="module", params=DEVICES, name="kernels")
fast = pytest.fixture(_module, scope="module", params=DEVICES[1:], name="fast")


def parameters(kernels, name):
    return list(inspect.signature(getattr(kernels, name)).parameters.values())


# The contract.


def test_names_are_the_references(declared):
    assert declared.__all__ == reference.__all__ == sorted(set(reference.__all__))
    assert all(callable(getattr(declared, name)) for name in declared.__all__)


@pytest.mark.parametrize("name", reference.__all__)
def test_signature_is_the_references(declared, name):
    """Same parameters with the same defaults; a device may add keyword-only ones that have a default."""
    expected, actual = parameters(reference, name), parameters(declared, name)
    assert [(p.name, p.kind, p.default) for p in actual[: len(expected)]] == [
        (p.name, p.kind, p.default) for p in expected
    ]
    for extra in actual[len(expected) :]:
        assert extra.kind is extra.KEYWORD_ONLY, f"{name}: {extra}"
        assert extra.default is not extra.empty, f"{name}: {extra}"


@pytest.mark.parametrize("name", reference.__all__)
def test_every_kernel_says_what_it_is(declared, name):
    text = inspect.getdoc(getattr(declared, name))
    assert text and text.split("\n")[0].endswith(".")


def test_reference_exports_all_its_parts():
    """What a file of the reference declares public, the package has, but for the geometry that all share."""
    parts = {part.name for part in pkgutil.iter_modules(reference.__path__)} - {"windows", "axis_taps"}
    public = [name for part in parts for name in import_module(f"minicnn.kernels.reference.{part}").__all__]
    assert sorted(public) == sorted(reference.__all__)


@pytest.mark.parametrize("forward", FORWARD)
def test_every_operation_has_a_gradient_for_each_array_it_takes(forward):
    names = {p.name for p in parameters(reference, forward)}
    kinds = ["input", *(kind for kind in ("weight", "bias") if kind in names)]
    shared = SHARED.get(forward, [])
    for kind in kinds:
        own = f"{forward}_{kind}_grad"
        assert own in GRADIENTS or any(name.endswith(f"_{kind}_grad") for name in shared), own


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_every_gradient_belongs_to_an_operation_and_shares_its_geometry(gradient):
    forward, kind = gradient.removesuffix("_grad").rsplit("_", 1)
    assert forward in FORWARD
    assert kind in ("input", "weight", "bias")
    options = {p.name: p.default for p in parameters(reference, forward)}
    for p in parameters(reference, gradient):
        if p.kind is p.KEYWORD_ONLY:
            assert p.name in options and p.default == options[p.name], p


def test_every_kernel_has_a_case():
    """The random cases call each of the reference's functions: a new one without a case fails here."""
    assert sorted(CASES) == sorted(SETTINGS) == sorted(FORWARD)
    cases = ((operation, setting) for operation in SETTINGS for setting in drawn(operation, 1))
    called = {name for case in cases for name in calls_of(*case)}
    assert called == set(reference.__all__)


def test_unknown_device_is_refused_with_those_there_are():
    with pytest.raises(DeviceError, match=f"unknown device 'abacus'; expected one of {', '.join(DEVICES)}"):
        on("abacus")


# Values.

EXACT = {np.dtype(bool), np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.int64)}


def tolerance_of(name, dtype):
    """Roundings of another order of summation; a fast convolution (Winograd) spends some digits of float32."""
    if dtype == np.float64:
        return 1e-10
    return 1e-4 if name.startswith("conv") else 1e-5


def parts(result):
    return result if isinstance(result, tuple) else (result,)


def assert_same(kernels, operation, setting):
    for dtype in (np.float32, np.float64):
        for name, call in calls_of(operation, setting, dtype).items():
            actual, expected = parts(call.on(kernels, name)), parts(call.on(reference, name))
            assert [part.dtype for part in actual] == [part.dtype for part in expected], name
            for a, b in zip(actual, expected, strict=True):
                tolerance = 0 if b.dtype in EXACT else tolerance_of(name, dtype)
                assert_close(a, b, tolerance, f"{name}, {dtype.__name__}")


@pytest.mark.parametrize("operation", SETTINGS)
@examples(100)
@given(data=st.data())
def test_values_are_the_references(fast, operation, data):
    assert_same(fast, operation, data.draw(SETTINGS[operation]))


@pytest.mark.parametrize("layer", CONVOLUTIONS)
def test_convolutions_of_real_networks_are_the_references(fast, layer):
    assert_same(fast, "conv2d", CONVOLUTIONS[layer])


# Manners.


@pytest.mark.parametrize("operation", SETTINGS)
@examples(30)
@given(data=st.data())
def test_same_bits_again_same_dtype_and_inputs_untouched(kernels, operation, data):
    """All arrays of a case are read-only, so that writing into one raises."""
    setting = data.draw(SETTINGS[operation])
    for dtype in (np.float32, np.float64):
        for name, call in calls_of(operation, setting, dtype).items():
            first, second = parts(call.on(kernels, name)), parts(call.on(kernels, name))
            for a, b in zip(first, second, strict=True):
                assert a.dtype == b.dtype and (a.dtype == dtype or a.dtype in EXACT), name
                assert a.tobytes() == b.tobytes(), name
                if setting["layout"] == "contiguous":
                    assert np.asarray(a).flags.c_contiguous, name


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1)])
def test_a_weight_gradient_over_no_image_is_zero(size, stride, groups):
    """Whatever the algorithm; memory that is used again holds what was there before."""
    pytest.importorskip("numba")
    pytest.importorskip("scipy")
    from minicnn.kernels import cpu

    x, pixels = np.zeros((0, 16, 14, 14), np.float32), (14 - size) // stride + 1
    dy = np.zeros((0, 32, pixels, pixels), np.float32)
    expected = reference.conv2d_weight_grad(x, dy, size, stride=stride, groups=groups)
    for _ in range(3):
        np.full(expected.shape, 7, np.float32)  # freed at once, so that the result may take its place
        dweight = cpu.conv2d_weight_grad(x, dy, size, stride=stride, groups=groups)
        np.testing.assert_array_equal(dweight, expected)
