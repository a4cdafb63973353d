"""What of a picture looks like the object: the features under its map told from those beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn.explain.grad_cam import resize_maps

__all__ = ["object_posterior"]

STEEPNESS = 2.0  # log odds of the object grow by so much where the map grows by a factor of e
COMPONENTS = 10  # principal components of the features that the discriminant sees
SHRINKAGE = 0.3  # of the covariance towards a multiple of the identity
ROUNDS = 3
FLOOR = 1e-3  # of the map, whose logarithm is taken
LIMIT = 8.0  # of the log odds


def object_posterior(map: np.ndarray, features: np.ndarray, levels: Sequence[float] = (0.25,)) -> np.ndarray:
    """Probability that each place of a net's last feature maps is the object's.

    The class activation map marks what tells the class from others, such as a head; the rest of the body has
    features like it.  Fisher's linear discriminant between the places that the map marks and the others, in the
    first principal components of the features, is fitted to the picture itself and says of each place which side
    it is like; its log odds and the map's are added, and the two sides are drawn anew, three times.

    Parameters
    ----------
    map : array of shape (H, W), class activation, maximum 1
    features : array of shape (K, P, Q)
    levels : floats in (0, 1), where the map alone says that a place is as likely the object's as not
        How far an object reaches beyond its peak differs from picture to picture: the answer is the mean over all.

    Returns
    -------
    posterior : float32 array of shape (P, Q), in (0, 1)

    Examples
    --------
    Two kinds of places; the map marks one place of the first kind alone:

    >>> features = np.zeros((2, 4, 4))
    >>> features[0, :, :2] = features[1, :, 2:] = 1.0
    >>> map = np.full((4, 4), 0.1)
    >>> map[1, 1] = 1.0
    >>> posterior = object_posterior(map, features)
    >>> bool(posterior[:, :2].min() > posterior[:, 2:].max())
    True

    """
    marked = np.maximum(resize_maps(np.asarray(map)[None], features.shape[1:])[0].astype(np.float64).ravel(), 0)
    marked = np.maximum(marked / max(marked.max(), FLOOR), FLOOR)
    components = _principal_components(features)
    posteriors = [_posterior(STEEPNESS * np.log(marked / level), components) for level in levels]
    return np.mean(posteriors, axis=0).reshape(features.shape[1:]).astype(np.float32)


def _posterior(prior: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Posterior (M,) of places whose log odds under the map are ``prior`` (M,)."""
    # twice as steep at first: the places that are surely one or the other
    posterior = _logistic(2 * prior)
    for _ in range(ROUNDS):
        posterior = _logistic(np.clip(prior + _discriminant(components, posterior) / 2, -LIMIT, LIMIT))
    return posterior


def _principal_components(features: np.ndarray) -> np.ndarray:
    """First principal components of the features of all places, (P Q, D), their total variance 1."""
    x = features.reshape(len(features), -1).astype(np.float64)
    x = x - x.mean(axis=1, keepdims=True)
    x = x / max(np.sqrt((x**2).sum(axis=0).mean()), 1e-12)
    # of the two products of x with itself the smaller has the same eigenvalues
    if x.shape[0] > x.shape[1]:
        values, vectors = np.linalg.eigh(x.T @ x)
        components = vectors * np.sqrt(np.maximum(values, 0))
    else:
        components = x.T @ np.linalg.eigh(x @ x.T)[1]
    return np.ascontiguousarray(components[:, ::-1][:, :COMPONENTS])


def _discriminant(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fisher's discriminant of samples x (M, D), ``weights`` (M,) of them on one side; 0 is half way."""
    mean = weights @ x / weights.sum()
    other = (1 - weights) @ x / (1 - weights).sum()
    within = ((x - mean).T * weights) @ (x - mean) + ((x - other).T * (1 - weights)) @ (x - other)
    within /= len(x)
    within += (SHRINKAGE * np.trace(within) / len(within) + 1e-12) * np.eye(len(within))
    direction = np.linalg.solve(within, mean - other)
    return x @ direction - direction @ (mean + other) / 2


def _logistic(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-odds))
