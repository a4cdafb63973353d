"""Published networks as ONNX graphs with random weights against onnxruntime; onnx_conformance.py has all nine."""

import numpy as np
import pytest

from minicnn.layers import Add, Cat
from tests.conformance.onnx_graphs import expected, load_model, run_net
from tests.conformance.onnx_light import LIGHT, X, with_random_weights

JOINS = {
    "squeezenet": 8,
    "resnet50": 16,
    "densenet121": 58,
    "inception_v1": 9,
    "inception_v2": 10,
    "shufflenet": 16,
}


@pytest.mark.parametrize("name", LIGHT)
def test_graphs(name, tmp_path):
    proto = with_random_weights(name, narrow=64)
    net = load_model(proto, tmp_path)
    assert net.input_shape == X[1:]
    assert sum(isinstance(layer, Add | Cat) for layer in net.layers) == JOINS.get(name, 0)
    if name in ("bvlc_alexnet", "zfnet512", "squeezenet", "inception_v1", "shufflenet"):  # the quicker ones
        x = np.random.default_rng(1).standard_normal(X, dtype=np.float32)
        reference = expected(tmp_path / "model.onnx", x)
        y = run_net(net, x)
        assert reference.size == 1000 and np.ptp(reference) > 0
        # 1e-4, relative: sums of thousands of products in single precision, layer after layer
        np.testing.assert_allclose(y, reference.reshape(y.shape), rtol=0, atol=1e-4 * np.abs(reference).max())
