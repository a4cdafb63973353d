"""Run by test_cuda.py in a process of its own: the CUDA kernels against the reference, in the simulator.

``python cuda_check.py PART`` with a part of ``PARTS``; blocks and threads run in shuffled orders throughout.
"""

import sys

import numpy as np
from kernel_arrays import assert_close
from kernel_cases import calls_of
from kernel_settings import CONVOLUTIONS, SETTINGS, drawn

from minicnn import Network
from minicnn.errors import DeviceError
from minicnn.kernels import reference
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
    Softmax,
)

BARRIERS = ("conv2d", "conv2d_relu", "conv_transpose2d", "linear", "softmax", "log_softmax", "global_avg_pool2d")
EXACT = {np.dtype(bool), np.dtype(np.uint8), np.dtype(np.uint16)}


def parts(result):
    return result if isinstance(result, tuple) else (result,)


def check(operation, setting, dtypes=(np.float32, np.float64)):
    """Hold an operation and all its derivatives against the reference."""
    from minicnn.kernels import cuda

    for dtype in dtypes:
        for name, call in calls_of(operation, setting, dtype).items():
            found, wanted = parts(call.on(cuda, name)), parts(call.on(reference, name))
            assert [a.dtype for a in found] == [b.dtype for b in wanted], name
            for a, b in zip(found, wanted, strict=True):
                # roundings of another order of summation
                tolerance = 1e-10 if dtype == np.float64 else 1e-4 if name.startswith("conv") else 1e-5
                assert_close(a, b, 0 if b.dtype in EXACT else tolerance, f"{name} {setting} {dtype.__name__}")


def operations():
    """Every operation on random settings; those with barriers, which the simulator is slow at, on fewer."""
    from minicnn.kernels import cuda

    assert cuda.__all__ == reference.__all__
    for operation in SETTINGS:
        for setting in drawn(operation, 3 if operation in BARRIERS else 12):
            check(operation, setting)


def _convolution(**changed):
    return CONVOLUTIONS["VGG's 3x3, odd size"] | changed


def tiles():
    """Shapes that cross the tiles' edges: filters, pixels and depths that are no multiples; groups; one pixel."""
    from minicnn.kernels.cuda import convolution

    check("conv2d", _convolution(c=3, k=65, size=(9, 8), n=1), [np.float32])
    check("conv2d", _convolution(c=2, k=9, size=(7, 5), n=3, groups=2, stride=2), [np.float32])
    check("conv2d", _convolution(c=9, k=10, size=(1, 1), n=3, kernel_size=1, padding=0), [np.float64])
    check("conv2d", _convolution(c=8, k=8, size=(9, 9), kernel_size=3, dilation=2, stride=(3, 1)), [np.float32])
    check("linear", {"layout": "contiguous", "seed": 1, "shape": (6, 9, 70), "bias": True}, [np.float32])
    check("linear", {"layout": "contiguous", "seed": 1, "shape": (1, 300, 9), "bias": True}, [np.float32])
    plain, convolution.fits = convolution.fits, lambda x, *_: x.dtype == np.float32
    check("conv2d", _convolution(c=9, k=10, size=(6, 9), n=2), [np.float32])
    check("conv2d", _convolution(c=8, k=9, size=(7, 6), n=1, padding=((0, 1), (2, 1))), [np.float32])
    convolution.fits = plain
    convolution.BLOCKS = 1  # the large tile, which the shapes above are too small for
    check("conv2d", _convolution(c=2, k=129, size=(3, 3), kernel_size=3, padding=1), [np.float32])


def split():
    """Products whose depth is shared among blocks: the reference's values, and the same bits in any order."""
    import cuda_simulator

    from minicnn.kernels import cuda
    from minicnn.kernels.cuda import convolution

    convolution.LEAST, plain, seen = 1, convolution.shares, []
    convolution.shares = lambda *sizes: seen.append(plain(*sizes)) or seen[-1]
    cases = [
        ("conv2d", _convolution(c=5, k=9, size=(5, 4), n=2, stride=2)),
        ("conv2d", _convolution(c=6, k=16, size=(4, 3), n=1, groups=2)),
        ("conv_transpose2d", drawn("conv_transpose2d", 1)[0]),
        ("conv2d_relu", drawn("conv2d_relu", 2)[1]),
        ("linear", {"layout": "contiguous", "seed": 1, "shape": (6, 29, 17), "bias": True}),
    ]
    for operation, setting in cases:
        check(operation, setting, [np.float32])
        for name, call in calls_of(operation, setting, np.float32).items():
            results = []
            for seed in range(2):
                cuda_simulator.Blocks.rng = np.random.default_rng(seed)
                results.append([np.asarray(part).tobytes() for part in parts(call.on(cuda, name))])
            assert results[0] == results[1], name
    convolution.fits = lambda x, *_: x.dtype == np.float32
    check("conv2d", _convolution(c=17, k=9, size=(4, 4), n=1), [np.float32])
    assert max(count for _, count in seen) > 4, seen
    assert [plain(576, 32), plain(576, 300), plain(0, 1), plain(20, 1)] == [(72, 8), (576, 1), (1, 1), (1, 20)]
    convolution.LEAST = 32
    assert plain(20, 1) == (20, 1)


def example():
    """A net with every kind of layer that a paper's net has, small."""
    layers = [
        Conv2d(1, 9, 3, padding=1),
        BatchNorm2d(9),
        ReLU(),
        MaxPool2d(3, 2, padding=1, ceil_mode=True),
        Residual([Conv2d(9, 9, 3, padding=1), ReLU6()]),
        LocalResponseNorm(3),
        AvgPool2d(2),
        Flatten(),
        Linear(9, 4),
        Softmax(),
    ]
    return Network(layers, input_shape=(1, 5, 5))


def network():
    """A whole net: scores, three rules, loss gradient, and nothing crosses in between."""
    from minicnn.kernels.cuda import arrays

    net = example()
    gpu, x = net.to("cuda"), np.random.default_rng(0).standard_normal((2, 1, 5, 5)).astype(np.float32)
    crossed, plain = [], arrays.upload
    arrays.upload = lambda array: crossed.append(array.shape) or plain(array)
    assert_close(gpu(x), net(x), 1e-5, "scores")
    for rule in ("gradient", "deconvnet", "guided"):
        assert_close(gpu.input_gradient(x, 1, rule), net.input_gradient(x, 1, rule), 1e-5, rule)
    sent = len(crossed)
    gpu(x)
    again = crossed[sent:]
    # what goes along: the input, and the scale and shift that the fused convolution makes of its normalisation
    assert len(again) <= 3, again
    loss, gradients = net.loss_gradient(x, np.array([1, 2]))
    found, others = gpu.loss_gradient(x, np.array([1, 2]))
    assert abs(loss - found) < 1e-5
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        assert_close(others[name], gradient, 1e-5, name)
    _memory(arrays)


def _memory(arrays):
    """Memory that runs out is one sentence with what was needed."""
    from numba import cuda

    def full(*_):
        raise MemoryError("CUDA_ERROR_OUT_OF_MEMORY")

    class Context:
        deallocations = type("Deallocations", (), {"clear": staticmethod(lambda: None)})

        @staticmethod
        def get_memory_info():
            return 3_000_000, 8_000_000_000

    cuda.device_array, kept = full, cuda.device_array
    cuda.current_context, context = Context, cuda.current_context
    try:
        arrays.empty((1 << 22, 4), np.float32)
    except DeviceError as error:
        assert "67 MB were needed" in str(error) and "3 of 8,000 MB are free" in str(error), error
    else:
        raise AssertionError("memory did not run out")
    finally:
        cuda.device_array, cuda.current_context = kept, context


def order():
    """No result depends on the order of blocks or threads: the same bits in four shuffled orders."""
    import cuda_simulator

    from minicnn.kernels import cuda

    for operation in SETTINGS:
        (setting,) = drawn(operation, 2)[1:]
        for name, call in calls_of(operation, setting, np.float32).items():
            results = []
            for seed in range(2 if operation in BARRIERS else 4):
                cuda_simulator.Blocks.rng = np.random.default_rng(seed)
                results.append([np.asarray(part).tobytes() for part in parts(call.on(cuda, name))])
            assert all(result == results[0] for result in results), name


if __name__ == "__main__":
    import cuda_simulator

    cuda_simulator.install()
    {"operations": operations, "tiles": tiles, "split": split, "network": network, "order": order}[sys.argv[1]]()
    print(f"{sys.argv[1]}: as the reference")
