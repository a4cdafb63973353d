"""Another last layer: which layers are replaced, and which networks are refused."""

import numpy as np
import pytest

from minicnn import Network
from minicnn.errors import MinicnnError
from minicnn.layers import Add, Conv2d, Dropout, Flatten, GlobalAvgPool2d, Linear, PReLU, ReLU, Softmax
from minicnn.training import freeze_below_head, replace_head

TRUNK = [("a", Conv2d(1, 4, 3))]
HEADS = {
    "linear": [Flatten(), Dropout(), ("fc", Linear(144, 7)), Softmax()],
    "linear without bias": [Flatten(), ("fc", Linear(144, 7, bias=False))],
    "convolution": [Dropout(), ("fc", Conv2d(4, 7, 1)), ReLU(), GlobalAvgPool2d(), Flatten()],
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_the_last_weights_are_drawn_anew_for_the_classes(head):
    net = Network([*TRUNK, *head], (1, 8, 8))
    new = replace_head(net, ["cat", "owl"])
    assert new(np.ones((3, 1, 8, 8), np.float32)).shape == (3, 2) and new.labels == ["cat", "owl"]
    before, after = net.state_dict(), new.state_dict()
    assert before.keys() == after.keys()
    assert {name for name in after if name[0] == "a" and (after[name] == before[name]).all()} == {
        "a.weight",
        "a.bias",
    }
    assert freeze_below_head(new) == ("a.",)
    again, other = (replace_head(net, ["cat", "owl"], seed).state_dict()["fc.weight"] for seed in (0, 1))
    assert (again == after["fc.weight"]).all() and (other != again).any()


@pytest.mark.parametrize(
    "head",
    [
        [("fc", Conv2d(4, 7, 1))],
        [("fc", Conv2d(4, 4, 1, groups=4)), GlobalAvgPool2d(), Flatten()],
        [Flatten(), ("full", Linear(144, 7)), ("fc", PReLU(7))],
        [
            ("flat", Flatten()),
            ("one", Linear(144, 7), "flat"),
            ("fc", Linear(144, 7), "flat"),
            ("sum", Add(), ("one", "fc")),
        ],
    ],
    ids=["maps", "groups", "another kind", "a sum"],
)
def test_other_heads_are_refused_with_what_they_are(head):
    with pytest.raises(MinicnnError, match=r"its last weights are those of fc, .*build the network with another"):
        replace_head(Network([*TRUNK, *head], (1, 8, 8)), ["cat", "owl"])
