"""The method "consensus" under other settings, cross-validated: how much of its figure is luck.

    python benchmarks/localisation_consensus.py DATA [--net NAME ...] [-o FOLDER]

Eight settings (the levels of the map, the margin of the second look) on every photograph, class given.  In each
of 20 random partitions into five, the setting that has most boxes right on four parts, of equal ones the one
of the larger mean overlap, answers on the fifth.  What is computed is kept in FOLDER, and a rerun goes on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product

import numpy as np

import minicnn
from minicnn.evaluate.dataset import read_dataset
from minicnn.evaluate.localisation import evaluate_localisation
from minicnn.explain.localise import ConsensusMethod

LEVELS, MARGINS = ((0.18,), (0.25,), (0.35,), (0.18, 0.25, 0.35)), (1.5, 2.0)
PARTITIONS, FOLDS = 20, 5
HIT = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", metavar="DATA", help="folder of photographs with boxes")
    parser.add_argument("--net", nargs="+", default=["efficientnet-lite0", "squeezenet1_1"])
    parser.add_argument("-o", "--output", default="consensus-settings", help="default: %(default)s")
    arguments = parser.parse_args()
    examples = read_dataset(arguments.data)
    for name in arguments.net:
        net = minicnn.load(name).to("auto")
        columns = []
        for levels, margin in product(LEVELS, MARGINS):
            method = replace(
                ConsensusMethod(), settings=replace(ConsensusMethod().settings, levels=levels, margin=margin)
            )
            evaluation = evaluate_localisation(net, examples, method, keep=arguments.output)
            columns.append([row["iou"] for row in evaluation.rows])
            hits = np.mean(np.array(columns[-1]) >= HIT)
            print(
                f"{name}: levels {levels}, margin {margin}: {hits:.1%}, mean overlap {np.mean(columns[-1]):.3f}",
                flush=True,
            )
        shares = cross_validate(np.array(columns).T)
        print(f"{name}: chosen on four fifths, measured on the fifth: {shares.mean():.1%} +- {shares.std():.1%}")


def cross_validate(ious: np.ndarray) -> np.ndarray:
    """Share of right boxes in each partition, for overlaps (pictures, settings)."""
    rng, shares = np.random.default_rng(0), []
    for _ in range(PARTITIONS):
        order, right = rng.permutation(len(ious)), 0
        for held_out in np.array_split(order, FOLDS):
            rest = np.setdiff1d(order, held_out)
            # hits first, then the mean: one number orders both, since a mean is below 1
            rank = (ious[rest] >= HIT).sum(axis=0) + ious[rest].mean(axis=0)
            right += (ious[held_out, rank.argmax()] >= HIT).sum()
        shares.append(right / len(ious))
    return np.array(shares)


if __name__ == "__main__":
    main()
