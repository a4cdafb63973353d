"""Run by test_cuda.py in a process of its own: the CUDA kernels against the reference, in the simulator.

``python cuda_check.py PART`` with a part of ``PARTS``; blocks and threads run in shuffled orders throughout.
"""

import gc
import sys

import numpy as np

from minicnn import Network
from minicnn.errors import DeviceError, DeviceMemoryError
from minicnn.kernels import reference
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Permute,
    PReLU,
    ReLU,
    ReLU6,
    Residual,
    Softmax,
    Tanh,
)
from tests.helpers.kernel_arrays import assert_close
from tests.helpers.kernel_cases import calls_of
from tests.helpers.kernel_settings import CONVOLUTIONS, ELEMENTWISE, SETTINGS, drawn

BARRIERS = (
    "conv2d",
    "conv2d_relu",
    "conv_transpose2d",
    "linear",
    "standardise",
    "softmax",
    "log_softmax",
    "global_avg_pool2d",
    "amax",
)
SUMS = (
    "batch_norm2d",
    "cross_entropy",
    "prelu",
    "scale_and_shift",
    *ELEMENTWISE,
)  # whose sums have barriers, among much that has none
EXACT = {np.dtype(bool), np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.int64)}


def parts(result):
    return result if isinstance(result, tuple) else (result,)


def check(operation, setting, dtypes=(np.float32, np.float64)):
    """Hold an operation and all its derivatives against the reference."""
    from minicnn.kernels import cuda

    for dtype in dtypes:
        for name, call in calls_of(operation, setting, dtype).items():
            actual, expected = parts(call.on(cuda, name)), parts(call.on(reference, name))
            assert [a.dtype for a in actual] == [b.dtype for b in expected], name
            for a, b in zip(actual, expected, strict=True):
                # roundings of another order of summation
                tolerance = 1e-10 if dtype == np.float64 else 1e-4 if name.startswith("conv") else 1e-5
                assert_close(a, b, 0 if b.dtype in EXACT else tolerance, f"{name} {setting} {dtype.__name__}")


def operations():
    """Every operation on random settings; those with barriers, which the simulator is slow at, on fewer."""
    from minicnn.kernels import cuda

    assert cuda.__all__ == reference.__all__
    for operation in SETTINGS:
        for setting in drawn(operation, 3 if operation in BARRIERS else 5 if operation in SUMS else 12):
            check(operation, setting)


def _convolution(**changed):
    return CONVOLUTIONS["VGG's 3x3, odd size"] | changed


def _by_winograd(convolution):
    """Let Winograd take every 3x3 convolution in float32, however small."""
    convolution.fits = lambda x, *_: x.dtype == np.float32


def edges():
    """Shapes that cross the tiles' edges: filters, pixels and depths that are no multiples; groups; one pixel."""
    from minicnn.kernels.cuda import convolution
    from minicnn.kernels.cuda.gemm import tiles

    check("conv2d", _convolution(c=1, k=65, size=(9, 8), n=1), [np.float32])
    check("conv2d", _convolution(c=8, k=9, size=(5, 4), n=3, groups=2, stride=2), [np.float32])
    check("conv2d", _convolution(c=4, k=7, size=(4, 3), n=1, stride=(2, 3), kernel_size=(2, 1)), [np.float32])
    check("conv2d", _convolution(c=9, k=10, size=(1, 1), n=3, kernel_size=1, padding=0), [np.float64])
    check("conv2d", _convolution(c=8, k=8, size=(9, 9), kernel_size=3, dilation=2, stride=(3, 1)), [np.float32])
    check("linear", {"layout": "contiguous", "seed": 1, "shape": (6, 9, 70), "bias": True}, [np.float32])
    check("linear", {"layout": "contiguous", "seed": 1, "shape": (1, 300, 9), "bias": True}, [np.float32])
    convolution.tile_for = lambda *_: tiles.LARGE  # which the shapes above are too small for
    check("conv2d", _convolution(c=1, k=129, size=(2, 3), kernel_size=3, padding=1), [np.float32])
    check("conv2d", _convolution(c=8, k=65, size=(2, 2), kernel_size=1, padding=0), [np.float32])


def shares():
    """Products whose depth is shared among blocks; and which shares a depth is cut into."""
    from minicnn.kernels.cuda import convolution
    from minicnn.kernels.cuda.gemm import split_k

    split_k.MIN_STEPS, original, seen = 1, convolution.split_depth, []
    convolution.split_depth = lambda *sizes: seen.append(original(*sizes)) or seen[-1]
    for operation, setting in _shared():
        check(operation, setting, [np.float32])
    assert max(count for _, count in seen) > 4, seen
    sizes = (576, 32), (576, 300), (0, 1), (20, 1)
    assert [original(*size) for size in sizes] == [(72, 8), (576, 1), (1, 1), (1, 20)]
    split_k.MIN_STEPS = 32
    assert original(20, 1) == (20, 1)


def _shared():
    """Cases of a few steps along the depth."""
    return [
        ("conv2d", _convolution(c=9, k=9, size=(5, 4), n=2, stride=2)),
        ("conv2d", _convolution(c=8, k=16, size=(4, 3), n=1, groups=2)),
        ("conv_transpose2d", drawn("conv_transpose2d", 1)[0] | {"c": 8, "k": 8, "groups": 1}),
        ("conv2d_relu", drawn("conv2d_relu", 2)[1] | {"c": 8, "k": 8}),
        ("linear", {"layout": "contiguous", "seed": 1, "shape": (6, 29, 17), "bias": True}),
    ]


def example(filters=9, beside=()):
    """A net with every kind of layer that a paper's net has, small, and others behind its pool."""
    layers = [
        Conv2d(1, filters, 3, padding=1),
        BatchNorm2d(filters),
        ReLU(),
        MaxPool2d(3, 2, padding=1, ceil_mode=True),
        *beside,
        Residual([Conv2d(filters, filters, 3, padding=1), ReLU6()]),
        LocalResponseNorm(3),
        AvgPool2d(2),
        Flatten(),
        Linear(filters, 4),
        Softmax(),
    ]
    return Network(layers, input_shape=(1, 5, 5))


def network():
    """A whole net: scores, three rules, both scalars, loss gradient; and what it says where memory runs out."""
    from minicnn.kernels.cuda import arrays

    net = example()
    gpu, x = net.to("cuda"), np.random.default_rng(0).standard_normal((2, 1, 5, 5)).astype(np.float32)
    assert_close(gpu(x), net(x), 1e-5, "scores")
    for rule in ("gradient", "deconvnet", "guided"):
        assert_close(gpu.input_gradient(x, 1, rule), net.input_gradient(x, 1, rule), 1e-5, rule)
    of_probability = [n.input_gradient(x, 1, of="probability") for n in (gpu, net)]
    assert_close(*of_probability, 1e-5, "probability")
    x64 = x.astype(np.float64)
    assert gpu(x64).dtype == gpu.input_gradient(x64, 1).dtype == np.float64
    assert_close(gpu.input_gradient(x64, 1), net.input_gradient(x64, 1), 1e-10, "float64")
    loss, gradients = net.loss_gradient(x, np.array([1, 2]))
    gpu_loss, others = gpu.loss_gradient(x, np.array([1, 2]))
    assert abs(loss - gpu_loss) < 1e-5
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        assert_close(others[name], gradient, 1e-5, name)
    _memory(arrays)
    _split_batches(gpu, net, np.random.default_rng(0).standard_normal((5, 1, 5, 5)).astype(np.float32))


def training():
    """A step of LeNet-5, and three of a net with normalisation and dropout: the parameters are the reference's."""
    from minicnn import zoo
    from minicnn.training import Optimiser, Recipe
    from minicnn.training.data.loader import Batch
    from minicnn.training.loss import make_targets
    from minicnn.training.step import Trainer

    rng, recipe = np.random.default_rng(0), Recipe(optimiser=Optimiser(nesterov=True, weight_decay=1e-3))
    small = [Conv2d(1, 3, 3), BatchNorm2d(3), ReLU(), MaxPool2d(2), Flatten(), Dropout(0.5), Linear(12, 10)]
    for net, steps in ((zoo.build("lenet5"), 1), (Network(small, (1, 6, 6)), 3)):
        trainers = [Trainer(net.to(device), recipe) for device in ("cuda", "reference")]
        for step in range(steps):
            x, classes = rng.standard_normal((2, *net.input_shape), dtype=np.float32), rng.integers(0, 10, 2)
            batch = Batch(x, make_targets(classes, np.ones(10), 0.1), classes, classes)
            ours, wanted = (t.step([batch], 0.05, [np.random.default_rng(step)]) for t in trainers)
            assert abs(ours.loss - wanted.loss) < 1e-5
        for name, array in trainers[1].arrays().items():
            assert_close(trainers[0].arrays()[name], array, 1e-5, name)


class _FullGpu:
    """Numba's context of a GPU whose memory is full."""

    deallocations = type("Deallocations", (), {"clear": staticmethod(lambda: None)})

    @staticmethod
    def get_memory_info():
        return 3_000_000, 8_000_000_000


def _split_batches(gpu, net, x):
    """A GPU whose memory is too small for five images does them in smaller batches."""
    from numba import cuda

    original, refused, limit = cuda.device_array, [], len(x) * 9 * 25  # values of all images' first maps

    def allocated(size, dtype):
        if size >= limit:
            refused.append(size)
            raise MemoryError("CUDA_ERROR_OUT_OF_MEMORY")
        return original(size, dtype)

    cuda.device_array = allocated
    cuda.current_context, context = _FullGpu, cuda.current_context
    try:
        assert_close(gpu(x), net(x), 1e-5, "scores of half batches")
        assert_close(gpu.input_gradient(x, 1), net.input_gradient(x, 1), 1e-5, "gradient of half batches")
    finally:
        cuda.device_array, cuda.current_context = original, context
    assert refused


def _memory(arrays):
    """Memory that runs out is one sentence with what was needed."""
    from numba import cuda

    from minicnn.kernels.cuda.launch import launch_per_value

    def full(*_):
        raise MemoryError("CUDA_ERROR_OUT_OF_MEMORY")

    cuda.device_array, kept = full, cuda.device_array
    cuda.current_context, context = _FullGpu, cuda.current_context
    try:
        refused = [_refused(lambda s=s: arrays.empty(s, np.float32)) for s in ((1 << 22, 4), (1 << 20, 1 << 13))]
        assert "67 MB were needed" in refused[0] and "3 of 8,000 MB are free" in refused[0], refused
        assert "8,589,934,592 values is too large" in refused[1], refused
        assert "4,294,967,296 values is too large" in _refused(lambda: launch_per_value(None, 1 << 32))
    finally:
        cuda.device_array, cuda.current_context = kept, context


def _refused(run):
    """Return what is said of what does not fit into memory."""
    try:
        run()
    except DeviceMemoryError as error:
        assert isinstance(error, DeviceError)
        return str(error)
    raise AssertionError("it fitted into memory")


def copies():
    """Nothing crosses the bus but inputs and answers: every copy is counted, once the parameters are there."""
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    from minicnn import Preprocess, explain
    from minicnn.explain import Ascent
    from minicnn.kernels.cuda import arrays

    crossed = []
    for name in ("copy_to_device", "copy_to_host"):
        original = getattr(FakeCUDAArray, name)

        def counted(self, *args, _original=original, _name=name):
            crossed.append(_name)
            return _original(self, *args)

        setattr(FakeCUDAArray, name, counted)

    def crossings(run):
        run()
        crossed.clear()
        run()
        return crossed.count("copy_to_device"), crossed.count("copy_to_host")

    # an operation without a kernel runs on the host, and its result stays where its input was
    tanh, z = arrays.on_host(reference.tanh), np.float32([-1, 0, 2])
    assert isinstance(tanh(arrays.upload(z)), arrays.DeviceArray) and isinstance(tanh(z), np.ndarray)
    np.testing.assert_array_equal(np.asarray(tanh(arrays.upload(z))), reference.tanh(z))

    net = example(3, [LeakyReLU(0.1), PReLU(3), Tanh(), Permute((0, 2, 1))]).to("cuda")
    net.preprocess = Preprocess((5, 5), channels="L", mean=(0.5,), std=(1.0,), mirror=False)
    x, labels = np.random.default_rng(0).standard_normal((2, 1, 5, 5)).astype(np.float32), np.array([1, 2])
    image, parameters = np.full((8, 8, 3), 128, np.uint8), len(net.loss_gradient(x, labels)[1])
    assert crossings(lambda: net(x)) == (1, 1)
    assert crossings(lambda: net(x.astype(np.float64))) == (1, 1)
    # x and the cotangent there, dx back: scores stay
    assert crossings(lambda: net.input_gradient(x, 1)) == (2, 1)
    assert crossings(lambda: net.input_gradient(x, 1, of="probability")) == (2, 1)
    assert crossings(lambda: net.loss_gradient(x, labels)) == (2, 1 + parameters)
    # the view and the cotangent there; scores and gradient back
    assert crossings(lambda: explain.saliency(net, image, 1, crops="one")) == (2, 2)
    # the cotangent; at each of the three places the image there, score and gradient back; scores at both ends
    assert crossings(lambda: explain.class_model(net, 1, settings=Ascent(steps=2))) == (1 + 3 + 2, 2 * 3 + 2)
    known, other = len(arrays._parameters), example(3).to("cuda")
    other(x)
    assert len(arrays._parameters) > known
    del other
    gc.collect()
    assert len(arrays._parameters) == known, "parameters stay on the GPU when their net is gone"


def order():
    """Every kernel in two shuffled orders of blocks and threads: the same bits, and the reference's values."""
    from minicnn.kernels import cuda
    from minicnn.kernels.cuda import convolution
    from minicnn.kernels.cuda.gemm import split_k
    from tests.cuda import simulator

    def same(operation, setting):
        for name, call in calls_of(operation, setting, np.float32).items():
            results = []
            for seed in range(2):
                simulator.Blocks.rng = np.random.default_rng(seed)
                results.append(parts(call.on(cuda, name)))
            for first, again in zip(*results, strict=True):
                assert np.asarray(first).tobytes() == np.asarray(again).tobytes(), name
            for actual, expected in zip(results[0], parts(call.on(reference, name)), strict=True):
                assert_close(actual, expected, 1e-4, name)

    for operation in SETTINGS:
        if operation != "conv2d":  # below
            same(operation, drawn(operation, 2)[1])
    # one number for all channels of a pixel: its gradient is summed across the maps
    same("add", drawn("add", 2)[1] | {"shape": (2, 5, 3, 4), "repeated": ((1,), ())})
    split_k.MIN_STEPS = 1
    same(*_shared()[0])
    _by_winograd(convolution)
    # forward of a depth that is packed, backward of one that is read as it lies
    same("conv2d", _convolution(c=9, k=8, size=(5, 7), n=3, padding=((0, 1), (2, 1))))
    missing = simulator.kernels() - simulator.Blocks.ran
    assert not missing, f"not launched here: {sorted(code.co_name for code in missing)}"


def _spoil(arrays):
    """Let memory that is given back lose its values: a kernel that is launched after that finds NaN."""
    given_back = arrays._Block.__del__

    def spoilt(block):
        if block.dtype.kind == "f" and hasattr(block, "memory"):
            block.memory[:] = np.nan
        given_back(block)

    arrays._Block.__del__ = spoilt


if __name__ == "__main__":
    from tests.cuda import simulator

    simulator.install()
    from minicnn.kernels.cuda import arrays

    _spoil(arrays)
    every = operations, training, edges, shares, network, copies, order
    {part.__name__: part for part in every}[sys.argv[1]]()
    print(f"{sys.argv[1]}: as the reference")
