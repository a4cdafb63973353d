"""Answers to the exercises of notebook 4, right ones in three ways and wrong ones as readers write them."""

import numpy as np


def _momentum(w, g, v, rate, mu):
    new = mu * v + g
    return w - rate * new, new


def _momentum_in_place(w, g, v, rate, mu):
    w, v = w.copy(), v.copy()
    v *= mu
    v += g
    w -= rate * v
    return w, v


def _momentum_two_parts(w, g, v, rate, mu):
    return w - rate * mu * v - rate * g, v * mu + g


def _changes_its_arguments(w, g, v, rate, mu):
    v *= mu
    v += g
    return w - rate * v, v


MOMENTUM_RIGHT = [_momentum, _momentum_in_place, _momentum_two_parts]
MOMENTUM_WRONG = {
    "uphill": lambda w, g, v, rate, mu: (w + rate * (mu * v + g), mu * v + g),
    "the old velocity": lambda w, g, v, rate, mu: (w - rate * v, mu * v + g),
    "the rate in the velocity": lambda w, g, v, rate, mu: (w - (mu * v + rate * g), mu * v + rate * g),
    "a running mean": lambda w, g, v, rate, mu: (w - rate * (mu * v + (1 - mu) * g), mu * v + (1 - mu) * g),
    "Nesterov's": lambda w, g, v, rate, mu: (w - rate * (g + mu * (mu * v + g)), mu * v + g),
    "no memory": lambda w, g, v, rate, mu: (w - rate * g, g),
    "its own arguments changed": _changes_its_arguments,
}


def _adamw(w, g, m, s, t, rate, betas, eps, decay):
    m, s = m + (1 - betas[0]) * (g - m), s + (1 - betas[1]) * (g * g - s)
    m_hat, s_hat = m / (1 - betas[0] ** t), s / (1 - betas[1] ** t)
    return w - rate * decay * w - rate * m_hat / (s_hat**0.5 + eps), m, s


def _adamw_folded(w, g, m, s, t, rate, betas, eps, decay):
    # both corrections in one factor, eps corrected along
    m, s = betas[0] * m + (1 - betas[0]) * g, betas[1] * s + (1 - betas[1]) * g**2
    root = np.sqrt(1 - betas[1] ** t)
    factor = rate * root / (1 - betas[0] ** t)
    return w * (1 - rate * decay) - factor * m / (np.sqrt(s) + eps * root), m, s


def _adamw_loops(w, g, m, s, t, rate, betas, eps, decay):
    new = [np.empty_like(w) for _ in range(3)]
    for i in np.ndindex(w.shape):
        new[1][i] = betas[0] * m[i] + (1 - betas[0]) * g[i]
        new[2][i] = betas[1] * s[i] + (1 - betas[1]) * g[i] ** 2
        size = (new[2][i] / (1 - betas[1] ** t)) ** 0.5 + eps
        new[0][i] = (1 - rate * decay) * w[i] - rate * new[1][i] / (1 - betas[0] ** t) / size
    return tuple(new)


def _adamw_as(change):
    def answer(w, g, m, s, t, rate, betas, eps, decay):
        m, s = betas[0] * m + (1 - betas[0]) * g, betas[1] * s + (1 - betas[1]) * g**2
        m_hat, s_hat = m / (1 - betas[0] ** t), s / (1 - betas[1] ** t)
        return change(w, m, s, m_hat, s_hat, rate, eps, decay)

    return answer


ADAMW_RIGHT = [_adamw, _adamw_folded, _adamw_loops]
ADAMW_WRONG = {
    "means not corrected": _adamw_as(
        lambda w, m, s, m_hat, s_hat, rate, eps, decay: (
            (1 - rate * decay) * w - rate * m / (np.sqrt(s) + eps),
            m,
            s,
        )
    ),
    "corrected means are kept": _adamw_as(
        lambda w, m, s, m_hat, s_hat, rate, eps, decay: (
            (1 - rate * decay) * w - rate * m_hat / (np.sqrt(s_hat) + eps),
            m_hat,
            s_hat,
        )
    ),
    "eps under the root": _adamw_as(
        lambda w, m, s, m_hat, s_hat, rate, eps, decay: (
            (1 - rate * decay) * w - rate * m_hat / np.sqrt(s_hat + eps),
            m,
            s,
        )
    ),
    "decay in the gradient, as Adam's": lambda w, g, m, s, t, rate, betas, eps, decay: _adamw(
        w, g + decay * w, m, s, t, rate, betas, eps, 0.0
    ),
    "decay without the rate": _adamw_as(
        lambda w, m, s, m_hat, s_hat, rate, eps, decay: (
            (1 - decay) * w - rate * m_hat / (np.sqrt(s_hat) + eps),
            m,
            s,
        )
    ),
    "no root": _adamw_as(
        lambda w, m, s, m_hat, s_hat, rate, eps, decay: (
            (1 - rate * decay) * w - rate * m_hat / (s_hat + eps),
            m,
            s,
        )
    ),
    "t counts from 0": lambda w, g, m, s, t, *rest: _adamw(w, g, m, s, t + 1, *rest),
}


def _order_hash(seed, epoch, count):
    # a number of its own for each image, sorted
    mixed = [np.random.default_rng([7, seed, epoch, i]).random() for i in range(count)]
    return np.argsort(mixed, kind="stable")


def _order_spawned(seed, epoch, count):
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,))).permutation(count)


def _order_text(seed, epoch, count):
    import random

    numbers = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(numbers)
    return numbers


STREAM = np.random.default_rng(0)
ORDER_RIGHT = [_order_hash, _order_spawned, _order_text]
ORDER_WRONG = {
    "a stream": lambda seed, epoch, count: STREAM.permutation(count),
    "the sum of both": lambda seed, epoch, count: np.random.default_rng(seed + epoch).permutation(count),
    "the seed alone": lambda seed, epoch, count: np.random.default_rng(seed).permutation(count),
    "the epoch alone": lambda seed, epoch, count: np.random.default_rng(epoch).permutation(count),
    "the product of both": lambda seed, epoch, count: np.random.default_rng(seed * epoch).permutation(count),
    "draws with repetition": lambda seed, epoch, count: np.random.default_rng([seed, epoch]).integers(
        0, count, count
    ),
    "turned, not mixed": lambda seed, epoch, count: np.roll(np.arange(count), 4 * seed + epoch),
    "nothing": lambda seed, epoch, count: None,
}
