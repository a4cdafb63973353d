"""Tests of the exercises of notebook 4."""

import numpy as np

from exercises.trying import judge_parts


def check_momentum(answer):
    """Try ``answer(w, g, v, rate, mu)``: the weights, then the velocity."""
    rng = np.random.default_rng(0)
    cases = [
        (*rng.standard_normal((3, *shape)), rate, mu)
        for shape, rate, mu in (((4,), 0.1, 0.9), ((2, 3), 1.0, 0.5), ((5,), 0.01, 0.0))
    ]

    def weights(w, g, v, rate, mu):
        return w - rate * (mu * v + g)

    def velocity(w, g, v, rate, mu):
        return mu * v + g

    def say(w, g, v, rate, mu):
        return f"w {w.shape}, rate {rate} and mu {mu}"

    return judge_parts(answer, cases, {"w": weights, "v": velocity}, say)


def check_adamw(answer):
    """Try ``answer(w, g, m, s, t, rate, betas, eps, decay)`` in the first step, and later."""
    rng = np.random.default_rng(1)
    cases = []
    for t, eps, decay in ((1, 1e-8, 0.0), (1, 0.1, 0.05), (7, 1e-8, 0.3), (1000, 1e-3, 0.01)):
        w, g = rng.standard_normal((2, 3, 4))
        m, s = (np.zeros((3, 4)), np.zeros((3, 4))) if t == 1 else (g / 3, rng.uniform(0.1, 2, (3, 4)))
        cases.append((w, g, m, s, t, 0.1, (0.9, 0.99), eps, decay))

    def mean(w, g, m, s, t, rate, betas, eps, decay):
        return betas[0] * m + (1 - betas[0]) * g

    def square(w, g, m, s, t, rate, betas, eps, decay):
        return betas[1] * s + (1 - betas[1]) * g**2

    def weights(*arguments):
        w, _, _, _, t, rate, betas, eps, decay = arguments
        m, s = mean(*arguments) / (1 - betas[0] ** t), square(*arguments) / (1 - betas[1] ** t)
        return (1 - rate * decay) * w - rate * m / (np.sqrt(s) + eps)

    def say(w, g, m, s, t, rate, betas, eps, decay):
        return f"t = {t}, eps = {eps} and a decay of {decay}"

    return judge_parts(answer, cases, {"w": weights, "m": mean, "s": square}, say)


def check_order(answer):
    """Try ``answer(seed, epoch, count)``: permutations, the same at each call, and no two alike."""
    asked = [(seed, epoch, 50) for seed in range(4) for epoch in range(4)]
    first = {}
    for arguments in asked:
        got = answer(*arguments)
        if got is None or got is Ellipsis:
            print("Not written yet: it returns nothing.")
            return False
        first[arguments] = tuple(int(i) for i in got)
        if sorted(first[arguments]) != list(range(50)):
            print(f"seed, epoch, count = {arguments}: it is no permutation of 0 ... 49.")
            return False
    for arguments in reversed(asked):
        if tuple(int(i) for i in answer(*arguments)) != first[arguments]:
            print(f"seed, epoch, count = {arguments}: asked a second time, it is another order.")
            return False
    shared = {}
    for arguments, found in first.items():
        if found in shared:
            print(f"seed and epoch {arguments[:2]} have the same order as {shared[found]}.")
            return False
        shared[found] = arguments[:2]
    if first[0, 0, 50] == tuple(range(50)):
        print("Epoch 0 shows the images in the order of their numbers.")
        return False
    print("Right.")
    return True
