"""The CUDA kernels in the simulator on whole networks: minutes each, so outside of the usual run.

``python -m tests.cuda.long [digits] [lenet5] [vgg]``: scores, three rules, the loss gradient of the
digits net, LeNet-5 and a narrow VGG, blocks and threads in shuffled orders, against the reference.
"""

import sys
import time

import numpy as np

import minicnn
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from tests.cuda import simulator
from tests.helpers.kernel_arrays import assert_close


def narrow_vgg():
    """VGG's pattern of thirteen 3x3 convolutions in five stages, with 2 to 8 filters on 32 x 32 pixels."""
    layers, channels = [], 3
    for filters, count in ((2, 2), (4, 2), (8, 3), (8, 3), (8, 3)):
        for _ in range(count):
            layers += [Conv2d(channels, filters, 3, padding=1), ReLU()]
            channels = filters
        layers.append(MaxPool2d(2))
    return minicnn.Network([*layers, Flatten(), Linear(8, 12), ReLU(), Linear(12, 10)], input_shape=(3, 32, 32))


NETS = {
    "digits": lambda: minicnn.load("digits"),
    "lenet5": lambda: minicnn.zoo.build("lenet5"),
    "vgg": narrow_vgg,
}


def check(name):
    """Hold a net on the device against the reference."""
    net = NETS[name]()
    gpu, start = net.to("cuda"), time.monotonic()
    x = np.random.default_rng(0).standard_normal((1, *net.input_shape)).astype(np.float32)
    # float32's roundings through a dozen layers of other orders of summation
    assert_close(gpu(x), net(x), 1e-4, "scores")
    print(f"{name}: scores, {time.monotonic() - start:.0f} s", flush=True)
    ruled = any(isinstance(layer, ReLU) for layer in net.layers)
    for rule in ("gradient", "deconvnet", "guided") if ruled else ("gradient",):
        assert_close(gpu.input_gradient(x, 3, rule), net.input_gradient(x, 3, rule), 1e-4, rule)
        print(f"{name}: {rule}, {time.monotonic() - start:.0f} s", flush=True)
    loss, gradients = net.loss_gradient(x, np.array([3]))
    gpu_loss, others = gpu.loss_gradient(x, np.array([3]))
    assert abs(loss - gpu_loss) <= 1e-4 * max(1, abs(loss))
    for parameter, gradient in gradients.items():
        assert_close(others[parameter], gradient, 1e-4, parameter)
    print(f"{name}: as the reference, {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    simulator.install()
    for chosen in sys.argv[1:] or NETS:
        check(chosen)
