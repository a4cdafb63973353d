"""How likely a colour is under a model: Gaussian mixtures fitted by expectation maximisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.errors import ShapeError

__all__ = ["GaussianMixture", "fit"]


@dataclass(frozen=True)
class GaussianMixture:
    """A density over colours: p(c) = sum_k weight_k N(c; mean_k, covariance_k).

    Attributes
    ----------
    weights : array of shape (K,), float64, sum 1
    means : array of shape (K, 3), float64, in the units of the colours
    covariances : array of shape (K, 3, 3), float64, no eigenvalue below the floor
    log_likelihoods : tuple of floats, the mean log density a sample before each EM step and after the last

    Examples
    --------
    >>> mixture = GaussianMixture(np.ones(1), np.zeros((1, 3)), np.eye(3)[None])
    >>> mixture.log_density([[0, 0, 0], [2, 0, 0]]).round(3).tolist()
    [-2.757, -4.757]

    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    log_likelihoods: tuple[float, ...] = ()

    def log_density(self, colours: np.ndarray) -> np.ndarray:
        """Log density log p(c).

        Parameters
        ----------
        colours : array of shape (..., 3)

        Returns
        -------
        log_density : array of shape (...), float64, finite for finite colours

        """
        colours = np.asarray(colours, np.float64)
        return _log_sum_exp(self.log_joint(colours.reshape(-1, 3).T)).reshape(colours.shape[:-1])

    def log_joint(self, x: np.ndarray) -> np.ndarray:
        """Log of weight_k N(x_m; mean_k, covariance_k), shape (K, M), for x of shape (3, M)."""
        joint = np.empty((len(self.weights), x.shape[1]))
        for k, (weight, mean, covariance) in enumerate(
            zip(self.weights, self.means, self.covariances, strict=True)
        ):
            # covariance = T T^T, so |T^-1 (x - mean)|^2 is the squared Mahalanobis distance, (M,) from (3, M)
            triangle = np.linalg.cholesky(covariance)
            whitened = np.einsum("ed,dm->em", np.linalg.inv(triangle), x - mean[:, None])
            # log weight - log det(2 pi covariance) / 2, where det covariance = (prod diag T)^2; log 0 is avoided
            constant = np.log(max(weight, 1e-300)) - np.log(np.diag(triangle)).sum() - 1.5 * np.log(2 * np.pi)
            joint[k] = constant - 0.5 * np.einsum("em,em->m", whitened, whitened)
        return joint


def fit(
    colours: np.ndarray,
    components: int = 5,
    *,
    weights: np.ndarray | None = None,
    seed: int = 0,
    iterations: int = 15,
    floor: float = 1.0,
) -> GaussianMixture:
    """Fit a Gaussian mixture to colours by expectation maximisation from a k-means++ start.

    E step: r_mk = weight_k N(c_m; k) / sum_j weight_j N(c_m; j).
    M step: weight_k = mean of r_mk, mean_k and covariance_k = the moments of the colours weighted by r_mk, the
    covariance's eigenvalues raised to ``floor`` where they are below.  That is the exact maximum among the
    covariances with no eigenvalue below the floor, so the likelihood never falls.

    Parameters
    ----------
    colours : array of shape (M, 3), any units
    components : int >= 1; fewer are kept where the colours have fewer distinct values (all equal: one)
    weights : array of shape (M,), >= 0, how much each sample counts; None: all alike
    seed : int, of the start
    iterations : int >= 0, EM steps
    floor : float > 0, least variance in any direction, in squared units of the colours

    Returns
    -------
    mixture : GaussianMixture

    Raises
    ------
    ShapeError
        If there is no sample, a colour is not finite, weights are negative or all zero, or a setting is wrong.

    See Also
    --------
    sklearn.mixture.GaussianMixture : the same in scikit-learn

    Notes
    -----
    The paper says: a Gaussian mixture for each of foreground and background.  It is silent on the number of
    components, the covariances, the start and the steps; the authors' later code had 5 components.  We chose
    5 full covariances, 15 steps and a floor of 1 (in L*a*b* about the smallest difference people see).

    References
    ----------
    Dempster, Laird, Rubin 1977 (EM); Arthur, Vassilvitskii 2007 (k-means++).

    Examples
    --------
    >>> colours = np.array([[0, 0, 0], [2, 0, 0], [50, 50, 50], [52, 50, 50]])
    >>> mixture = fit(colours, components=2)
    >>> sorted(mixture.means.round(3).tolist()), mixture.weights.round(3).tolist()
    ([[1.0, 0.0, 0.0], [51.0, 50.0, 50.0]], [0.5, 0.5])

    """
    x, weights = _check_samples(colours, weights)
    if components < 1 or iterations < 0 or not floor > 0:
        raise ShapeError(
            "colour_model.fit: expected components >= 1, iterations >= 0 and floor > 0, "
            f"got {components}, {iterations} and {floor}"
        )
    # (K, M); the start is an M step from hard assignments
    responsibilities = _kmeans_plus_plus(x, weights, components, np.random.default_rng(seed))
    mixture = _m_step(x, responsibilities * weights, floor)
    history = []  # of the mean log likelihood, which never falls
    for _ in range(iterations):
        # E step: log r = log joint - log density, (K, M); M step: the moments under r times the sample weights
        joint = mixture.log_joint(x)
        log_density = _log_sum_exp(joint)
        history.append(float((weights * log_density).sum()))
        mixture = _m_step(x, np.exp(joint - log_density) * weights, floor)
    # the last M step has no E step behind it that would note its likelihood
    history.append(float((weights * _log_sum_exp(mixture.log_joint(x))).sum()))
    return GaussianMixture(mixture.weights, mixture.means, mixture.covariances, tuple(history))


def _check_samples(colours: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return samples as columns (3, M) and their weights (M,) of sum 1, those of weight zero left out."""
    colours = np.asarray(colours, np.float64)
    if colours.ndim != 2 or colours.shape[1] != 3 or len(colours) == 0 or not np.isfinite(colours).all():
        raise ShapeError(
            f"colour_model.fit: expected finite colours of shape (M, 3) with M >= 1, got shape {colours.shape}"
            f"{'' if np.isfinite(colours).all() else ' with NaN or infinity'}"
        )
    weights = np.ones(len(colours)) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (len(colours),) or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ShapeError(
            f"colour_model.fit: expected {len(colours)} finite weights >= 0, not all zero, one a colour; "
            f"got shape {weights.shape}"
        )
    used = weights > 0
    return np.ascontiguousarray(colours[used].T), weights[used] / weights.sum()


def _kmeans_plus_plus(x: np.ndarray, weights: np.ndarray, components: int, rng: np.random.Generator) -> np.ndarray:
    """Responsibilities (K, M), 0 or 1: each sample belongs to the nearest of K centres drawn by k-means++.

    A centre is drawn with probability proportional to weight times squared distance to the nearest centre so
    far, so equal samples never give two centres, and every centre has at least itself.
    """
    distances = np.empty((0, x.shape[1]))
    probability = weights  # unnormalised
    while len(distances) < components and probability.max() > 0:
        # inversion of the cumulative sum; side right steps over samples of probability zero
        cumulative = np.cumsum(probability)
        drawn = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
        # a number drawn at the very top may round to the total, behind the last sample
        drawn = min(drawn, np.flatnonzero(probability)[-1])
        # squared distances (centres so far, M)
        distances = np.vstack([distances, ((x - x[:, [drawn]]) ** 2).sum(axis=0)])
        probability = weights * distances.min(axis=0)
    # argmin takes the first of equally near centres
    return (np.arange(len(distances))[:, None] == distances.argmin(axis=0)).astype(np.float64)


def _m_step(x: np.ndarray, responsibilities: np.ndarray, floor: float) -> GaussianMixture:
    """Mixture of greatest likelihood for the responsibilities (K, M); components that have none are dropped."""
    totals = responsibilities.sum(axis=1)
    # a component without a sample would divide by zero
    responsibilities, totals = responsibilities[totals > 0], totals[totals > 0]
    means = np.einsum("km,dm->kd", responsibilities, x) / totals[:, None]
    covariances = np.empty((len(totals), 3, 3))
    for k, (responsibility, mean) in enumerate(zip(responsibilities, means, strict=True)):
        centred = x - mean[:, None]
        covariances[k] = np.einsum("dm,em->de", responsibility * centred, centred) / totals[k]
    # raise the eigenvalues to the floor: A max(values, floor) A^T, for all components at once
    values, axes = np.linalg.eigh(covariances)
    covariances = np.einsum("kde,ke,kfe->kdf", axes, np.maximum(values, floor), axes)
    return GaussianMixture(totals / totals.sum(), means, covariances)


def _log_sum_exp(joint: np.ndarray) -> np.ndarray:
    """Log of the sum of exponentials over the first axis, shifted by the maximum so that nothing overflows."""
    top = joint.max(axis=0)
    return top + np.log(np.exp(joint - top).sum(axis=0))
