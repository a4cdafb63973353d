"""The architectures of minicnn.zoo once more, as torch modules with the keys of the published state dictionaries.

Written from the papers' tables and the files' key lists, layer by layer, not from minicnn's code.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn


class Tower(nn.Module):
    """``features``, flatten, ``classifier``: AlexNet and VGG in torchvision."""

    def __init__(self, features, classifier):
        super().__init__()
        self.features, self.classifier = nn.Sequential(*features), nn.Sequential(*classifier)

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


def alexnet(classes=1000):
    pool = nn.MaxPool2d(3, 2)
    features = [
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), pool, nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), pool),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), pool),
    ]
    classifier = [nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()]
    return Tower(features, [*classifier, nn.Linear(4096, classes)])


VGG = {
    11: "64 M 128 M 256 256 M 512 512 M 512 512 M",
    13: "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    16: "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    19: "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


def vgg(depth, norm, classes=1000):
    features, channels = [], 3
    for word in VGG[depth].split():
        if word == "M":
            features.append(nn.MaxPool2d(2, 2))
            continue
        features.append(nn.Conv2d(channels, int(word), 3, padding=1))
        features += [nn.BatchNorm2d(int(word))] * norm + [nn.ReLU()]
        channels = int(word)
    hidden = [nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()]
    return Tower(features, [*hidden, nn.Linear(4096, classes)])


def chain(*pairs):
    return nn.Sequential(OrderedDict(pairs))


def full(features, classes=1000):
    return [
        *(("flatten", nn.Flatten()), ("fc6", nn.Linear(features, 4096)), ("relu6", nn.ReLU())),
        *(("fc7", nn.Linear(4096, 4096)), ("relu7", nn.ReLU()), ("fc8", nn.Linear(4096, classes))),
    ]


def caffe_lrn():
    return nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)


def krizhevsky_lrn():
    """k = 2, n = 5, alpha = 1e-4 without a division by n: torch divides."""
    return nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)


def two_towers(pool_first):
    def after(n):
        pair = [(f"norm{n}", caffe_lrn()), (f"pool{n}", nn.MaxPool2d(3, 2, ceil_mode=True))]
        return reversed(pair) if pool_first else pair

    return chain(
        *(("conv1", nn.Conv2d(3, 96, 11, 4)), ("relu1", nn.ReLU()), *after(1)),
        *(("conv2", nn.Conv2d(96, 256, 5, 1, 2, groups=2)), ("relu2", nn.ReLU()), *after(2)),
        *(("conv3", nn.Conv2d(256, 384, 3, 1, 1)), ("relu3", nn.ReLU())),
        *(("conv4", nn.Conv2d(384, 384, 3, 1, 1, groups=2)), ("relu4", nn.ReLU())),
        *(("conv5", nn.Conv2d(384, 256, 3, 1, 1, groups=2)), ("relu5", nn.ReLU())),
        ("pool5", nn.MaxPool2d(3, 2, ceil_mode=True)),
        *full(9216),
    )


def five(first, second, width, pools, order, features, ceil_mode=True):
    """Five convolutions: two as given, three of 3 x 3; ``order`` of norm and pool after the first two."""
    one, two, last = pools
    kinds = {"norm": lambda pool: krizhevsky_lrn(), "pool": lambda pool: nn.MaxPool2d(*pool, ceil_mode=ceil_mode)}
    pairs, channels = [], 256
    for n, conv, pool, after in ((1, first, one, order[0]), (2, second, two, order[1])):
        pairs += [(f"conv{n}", conv), (f"relu{n}", nn.ReLU()), *((f"{a}{n}", kinds[a](pool)) for a in after)]
    for n, out in zip((3, 4, 5), width, strict=True):
        pairs += [(f"conv{n}", nn.Conv2d(channels, out, 3, 1, 1)), (f"relu{n}", nn.ReLU())]
        channels = out
    return chain(*pairs, ("pool5", nn.MaxPool2d(*last, ceil_mode=ceil_mode)), *full(features))


LRN_POOL, POOL_LRN = ("norm", "pool"), ("pool", "norm")


def zfnet():
    pools = ((3, 2),) * 3
    first, second = nn.Conv2d(3, 96, 7, 2, 1), nn.Conv2d(96, 256, 5, 2)
    return five(first, second, (384, 384, 256), pools, (POOL_LRN, POOL_LRN), 9216)


def paper():
    pools = ((3, 2),) * 3
    first, second = nn.Conv2d(3, 64, 11, 4, 2), nn.Conv2d(64, 256, 5, 1, 2)
    return five(first, second, (256, 256, 256), pools, (LRN_POOL, LRN_POOL), 9216, ceil_mode=False)


def vgg_f():
    pools = ((3, 2),) * 3
    first, second = nn.Conv2d(3, 64, 11, 4), nn.Conv2d(64, 256, 5, 1, 2)
    return five(first, second, (256, 256, 256), pools, (LRN_POOL, LRN_POOL), 9216)


def vgg_m():
    pools = ((3, 2),) * 3
    first, second = nn.Conv2d(3, 96, 7, 2), nn.Conv2d(96, 256, 5, 2, 1)
    return five(first, second, (512, 512, 512), pools, (LRN_POOL, LRN_POOL), 18432)


def vgg_s():
    pools = ((3, 3), (2, 2), (3, 3))
    first, second = nn.Conv2d(3, 96, 7, 2), nn.Conv2d(96, 256, 5)
    return five(first, second, (512, 512, 512), pools, (LRN_POOL, ("pool",)), 18432)


class Fire(nn.Module):
    def __init__(self, channels, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    def __init__(self, version, classes=1000):
        super().__init__()

        def pool():
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        if version == "1.0":
            self.features = nn.Sequential(
                *(nn.Conv2d(3, 96, 7, 2), nn.ReLU(), pool()),
                *(Fire(96, 16, 64), Fire(128, 16, 64), Fire(128, 32, 128), pool()),
                *(Fire(256, 32, 128), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), pool()),
                Fire(512, 64, 256),
            )
        else:
            self.features = nn.Sequential(
                *(nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool()),
                *(Fire(64, 16, 64), Fire(128, 16, 64), pool()),
                *(Fire(128, 32, 128), Fire(256, 32, 128), pool()),
                *(Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)),
            )
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(512, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        )

    def forward(self, x):
        return torch.flatten(self.classifier(self.features(x)), 1)


class ResidualBlock(nn.Module):
    def __init__(self, channels, width, stride, bottleneck):
        super().__init__()
        out = 4 * width if bottleneck else width
        plan = (
            [(1, 1, width), (3, stride, width), (1, 1, out)] if bottleneck else [(3, stride, width), (3, 1, out)]
        )
        self.count, before = len(plan), channels
        for n, (size, step, after) in enumerate(plan, 1):
            setattr(self, f"conv{n}", nn.Conv2d(before, after, size, step, size // 2, bias=False))
            setattr(self, f"bn{n}", nn.BatchNorm2d(after))
            before = after
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = x
        for n in range(1, self.count + 1):
            y = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(y))
            y = F.relu(y) if n < self.count else y
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, counts, bottleneck, classes=1000):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        channels = 64
        for stage, (count, width) in enumerate(zip(counts, (64, 128, 256, 512), strict=True), 1):
            blocks = []
            for i in range(count):
                blocks.append(ResidualBlock(channels, width, 2 if stage > 1 and i == 0 else 1, bottleneck))
                channels = 4 * width if bottleneck else width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class MTCNN(nn.Module):
    """P, R or O: modules by name, and the two or three heads as a dictionary."""

    def __init__(self, which):
        super().__init__()
        plans = {
            "P": ([(3, 10, 3), (10, 16, 3), (16, 32, 3)], [(2, 2)], None),
            "R": ([(3, 28, 3), (28, 48, 3), (48, 64, 2)], [(3, 2), (3, 2)], (4, 576, 128)),
            "O": ([(3, 32, 3), (32, 64, 3), (64, 64, 3), (64, 128, 2)], [(3, 2), (3, 2), (2, 2)], (5, 1152, 256)),
        }
        self.convs, self.pools, self.full = plans[which]
        for n, (before, after, size) in enumerate(self.convs, 1):
            setattr(self, f"conv{n}", nn.Conv2d(before, after, size))
            setattr(self, f"prelu{n}", nn.PReLU(after))
        if self.full is None:
            self.heads = {"score": "conv4_1", "box": "conv4_2"}
            self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)
            return
        n, features, out = self.full
        setattr(self, f"dense{n}", nn.Linear(features, out))
        setattr(self, f"prelu{n}", nn.PReLU(out))
        names = ("score", "box", "landmarks")[: 2 if which == "R" else 3]
        self.heads = {name: f"dense{n + 1}_{i}" for i, name in enumerate(names, 1)}
        for name, size in zip(names, (2, 4, 10), strict=False):
            setattr(self, self.heads[name], nn.Linear(out, size))

    def forward(self, x):
        for n in range(1, len(self.convs) + 1):
            x = getattr(self, f"prelu{n}")(getattr(self, f"conv{n}")(x))
            if n <= len(self.pools):
                x = F.max_pool2d(x, *self.pools[n - 1], ceil_mode=True)
        if self.full:
            n = self.full[0]
            x = x.permute(0, 3, 2, 1).reshape(len(x), -1)  # columns, rows, channels
            x = getattr(self, f"prelu{n}")(getattr(self, f"dense{n}")(x))
        return {head: torch.flatten(getattr(self, name)(x), 1) for head, name in self.heads.items()}


def hed_trunk():
    pairs, channels = [], 3
    for stage, (width, repeats) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for i in range(1, repeats + 1):
            pairs += [(f"block{stage}_conv{i}", nn.Conv2d(channels, width, 3, padding=1))]
            pairs += [(f"relu{stage}_{i}", nn.ReLU())]
            channels = width
        pairs += [(f"pool{stage}", nn.MaxPool2d(2))] if stage < 5 else []
    return chain(*pairs)


MODULES = {
    "alexnet": alexnet,
    "alexnet-caffe": lambda: two_towers(pool_first=False),
    "caffenet": lambda: two_towers(pool_first=True),
    "zfnet": zfnet,
    "paper": paper,
    "vgg-f": vgg_f,
    "vgg-m": vgg_m,
    "vgg-s": vgg_s,
    **{f"vgg{n}{'_bn' * norm}": lambda n=n, norm=norm: vgg(n, norm) for n in VGG for norm in (False, True)},
    "squeezenet1_0": lambda: SqueezeNet("1.0"),
    "squeezenet1_1": lambda: SqueezeNet("1.1"),
    "resnet18": lambda: ResNet((2, 2, 2, 2), False),
    "resnet34": lambda: ResNet((3, 4, 6, 3), False),
    "resnet50": lambda: ResNet((3, 4, 6, 3), True),
    "mtcnn-pnet": lambda: MTCNN("P"),
    "mtcnn-rnet": lambda: MTCNN("R"),
    "mtcnn-onet": lambda: MTCNN("O"),
    "hed-vgg16": hed_trunk,
}
