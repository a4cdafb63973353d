"""Tests of the exercises of notebook 1."""

from itertools import product

import numpy as np

from exercises.trying import judge
from minicnn.kernels import reference


def _arrays(n, c, h, w, k, r, s, groups=1):
    rng = np.random.default_rng([n, c, h, w, k, r, s, groups])
    return rng.standard_normal((n, c, h, w)), rng.standard_normal((k, c // groups, r, s))


def check_strided(answer):
    """Try ``answer(x, w, stride, padding)`` on images that are not square, and strides that leave a rest."""
    shapes = [(1, 1, 5, 5, 1, 3, 3), (2, 3, 7, 10, 4, 3, 2), (1, 2, 9, 6, 3, 5, 1)]
    settings = [(1, 0), (2, 0), (1, 1), (2, 1), (3, 2)]
    cases = [(*_arrays(*shape), stride, padding) for (stride, padding), shape in product(settings, shapes)]
    return judge(
        answer,
        cases,
        lambda x, w, stride, padding: reference.conv2d(x, w, stride=stride, padding=padding),
        lambda x, w, stride, padding: f"x {x.shape}, w {w.shape}, stride {stride} and padding {padding}",
    )


def check_grouped(answer):
    """Try ``answer(x, w, groups)``; with more filters than channels, and with one channel in each group."""
    shapes = [
        (1, 2, 5, 5, 2, 3, 3, 1),
        (2, 4, 6, 7, 6, 3, 2, 2),
        (1, 3, 5, 4, 3, 3, 3, 3),
        (1, 3, 5, 6, 6, 2, 2, 3),
    ]
    cases = [(*_arrays(*shape), shape[-1]) for shape in shapes]
    return judge(
        answer,
        cases,
        lambda x, w, groups: reference.conv2d(x, w, groups=groups),
        lambda x, w, groups: f"x {x.shape}, w {w.shape} and {groups} groups",
    )


def check_five_taps(answer):
    """Try the matrices of ``answer()`` on all pairs of unit vectors, and count multiplications."""
    A, G, B = answer()
    if any(matrix is None for matrix in (A, G, B)):
        print("Not written yet: there are no matrices.")
        return False
    A, G, B = (np.asarray(matrix, np.float64) for matrix in (A, G, B))
    n = len(G)
    if (A.shape, G.shape, B.shape) != ((2, n), (n, 5), (n, 6)):
        print(f"The shapes are A {A.shape}, G {G.shape}, B {B.shape}; expected (2, n), (n, 5), (n, 6).")
        return False

    def outputs(d, g):
        return A @ ((G @ g @ G.T) * (B @ d @ B.T)) @ A.T

    rng = np.random.default_rng(0)
    pairs = [(d, g) for d in np.eye(36).reshape(36, 6, 6) for g in np.eye(25).reshape(25, 5, 5)]
    pairs += [(rng.standard_normal((6, 6)), rng.standard_normal((5, 5)))]
    right = judge(
        outputs,
        pairs,
        lambda d, g: reference.conv2d(d[None, None], g[None, None])[0, 0],
        lambda d, g: f"{np.count_nonzero(d)} pixels and {np.count_nonzero(g)} taps that are not 0",
    )
    if right and n > 6:
        print(f"But it takes {n**2} multiplications for 4 outputs, and {6**2} are enough.")
        return False
    if right:
        print(f"{n**2} multiplications for 4 outputs, {n**2 / 4:g} for one.")
    return right
