"""EfficientNet-Lite0 in torch with the published names, written from the paper and the published block table."""

import torch
from torch import nn
from torch.nn import functional as F

ROWS = [(1, 1, 16, 3, 1), (2, 6, 24, 3, 2), (2, 6, 40, 5, 2), (3, 6, 80, 3, 2)]
ROWS += [(3, 6, 112, 5, 1), (4, 6, 192, 5, 2), (1, 6, 320, 3, 1)]


class SameConv(nn.Conv2d):
    """TensorFlow's SAME padding: as much as makes ceil(n / stride), the odd pixel at the bottom and the right."""

    def forward(self, x):
        need = [
            max((-(-n // s) - 1) * s + k - n, 0)
            for n, k, s in zip(x.shape[-2:], self.kernel_size, self.stride, strict=True)
        ]
        h, w = need
        x = F.pad(x, (w // 2, w - w // 2, h // 2, h - h // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class Block(nn.Module):
    def __init__(self, c_in, c_out, expand, kernel, stride):
        super().__init__()
        wide = c_in * expand
        if expand > 1:
            self._expand_conv = SameConv(c_in, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=1e-3)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, eps=1e-3)
        self._project_conv = SameConv(wide, c_out, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(c_out, eps=1e-3)
        self.skip = stride == 1 and c_in == c_out

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skip else y


class Lite0(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks, c = [], 32
        for repeats, expand, out, kernel, stride in ROWS:
            for r in range(repeats):
                blocks.append(Block(c, out, expand, kernel, stride if r == 0 else 1))
                c = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(c, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, classes)

    def forward(self, x):
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        return self._fc(x.mean((2, 3)))


def digits():
    net = nn.Sequential()
    net.conv_layers = nn.Sequential()
    c = 1
    for i, k in enumerate((32, 64, 128)):
        net.conv_layers.add_module(str(3 * i), nn.Conv2d(c, k, 3, padding=1))
        net.conv_layers.add_module(str(3 * i + 1), nn.ReLU())
        net.conv_layers.add_module(str(3 * i + 2), nn.MaxPool2d(2))
        c = k
    net.add_module("flatten", nn.Flatten())
    net.fc_layers = nn.Sequential(nn.Linear(1152, 256), nn.ReLU(), nn.Linear(256, 10))
    return net


def load_weights(module, net):
    state = {k: torch.from_numpy(v.copy()) for k, v in net.state_dict().items()}
    missing, unexpected = module.load_state_dict(state, strict=False)
    assert not unexpected and all(k.endswith("num_batches_tracked") for k in missing)
    return module.eval()
