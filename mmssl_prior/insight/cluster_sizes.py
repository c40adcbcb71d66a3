"""Sizes of the clusters of unlabelled features, by estimators of different bias."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .prior_fit import LawFit, fit_law
from .rank_laws import POWER_LAW, ranked

__all__ = [
    'ESTIMATORS',
    'ClusterSizes',
    'Clusters',
    'Estimator',
    'cluster_sizes',
    'estimators',
    'principal_components',
]

#: Smaller clusters are noise of the estimator; they are left out of a fit, and said.
SMALLEST = 5
COMPONENTS = 50
DIMENSIONS = 16
#: What a density estimate must reach to be one: clusters, and images outside them at most.
FEWEST, NOISIEST = 3, 0.5
#: Adjusted Rand index between halves and whole below which clusters are an accident.
STABLE = 0.6


class Clusters(NamedTuple):
    """A clustering.

    Attributes:
        labels: Cluster of each image, shape (N,).
        sizes: Expected number of images of each cluster, in descending order.
        note: What is peculiar about it, or empty.
        doubt: Why it should not be believed, or empty.
    """

    labels: np.ndarray
    sizes: np.ndarray
    note: str = ''
    doubt: str = ''


class Estimator(NamedTuple):
    """A way to cluster.

    Attributes:
        name: For tables.
        biased: Whether it prefers equal sizes by construction; such estimates
            are shown and do not enter the range.
        run: From features (N, D) and a seed to clusters.
    """

    name: str
    biased: bool
    run: Callable[[np.ndarray, int], Clusters]


class ClusterSizes(NamedTuple):
    """The exponent by one estimator.

    Attributes:
        estimator: Its name.
        biased: As of the estimator.
        clusters: How many it found, without those of fewer than 5 images.
        sizes: Their sizes, ranked.
        exponent: Of the sizes, corrected for ranking.
        low: Lower end of the interval over images.
        high: Its upper end.
        shift: Mean exponent of half the images, less that of all: how far the
            estimate depends on the number of images.
        stability: Mean adjusted Rand index between the clusters of half the
            images and those of all.
        note: Of the clustering.
        doubt: Why it does not count, or empty.
    """

    estimator: str
    biased: bool
    clusters: int
    sizes: np.ndarray
    exponent: float
    low: float
    high: float
    shift: float
    stability: float
    note: str
    doubt: str


def principal_components(
    features: np.ndarray, dimensions: int = DIMENSIONS, normalise: bool = True, seed: int = 0
) -> np.ndarray:
    """The directions of largest variance, in which clusters are looked for.

    Args:
        features: Shape (N, D).
        dimensions: Kept; fewer where D or N - 1 is smaller.
        normalise: Give each row length one first, as prototypes see it.
        seed: Of the randomised solver.

    Returns:
        Shape (N, d), float64, of unit mean variance.

    Raises:
        UserError: If there are fewer than 50 rows, one is not finite, or all
            are equal.
    """
    from sklearn.decomposition import PCA

    rows = np.asarray(features, np.float64)
    if len(rows) < 50:
        raise UserError(f'{len(rows)} images: cluster sizes need at least 50')
    if not np.isfinite(rows).all():
        raise UserError('the features are not finite: the encoder has diverged, or was not loaded')
    if normalise:
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    if rows.var(0).sum() < 1e-12:
        raise UserError('all features are equal: the encoder has collapsed; choose another')
    kept = min(dimensions, rows.shape[1], len(rows) - 1)
    rows = PCA(kept, random_state=seed, svd_solver='auto').fit_transform(rows)
    return rows / np.sqrt(rows.var(0).mean())


def _kmeans(count: int) -> Estimator:
    def run(rows: np.ndarray, seed: int) -> Clusters:
        from sklearn.cluster import KMeans

        labels = KMeans(min(count, len(rows)), n_init=3, random_state=seed).fit_predict(rows)
        return Clusters(labels, ranked(np.bincount(labels)))

    return Estimator(f'k-means, {count}', True, run)


def _mixture(covariance: str, name: str, components: int) -> Estimator:
    def run(rows: np.ndarray, seed: int) -> Clusters:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import BayesianGaussianMixture

        count = min(components, len(rows) // 5)
        mixture = BayesianGaussianMixture(
            n_components=count,
            covariance_type=covariance,
            weight_concentration_prior=1.0,
            max_iter=100,
            random_state=seed,
        )
        with warnings.catch_warnings():
            # The bound still rises in its last digits; sizes do not change any more.
            warnings.simplefilter('ignore', ConvergenceWarning)
            labels = mixture.fit_predict(rows)
        sizes = ranked(mixture.weights_ * len(rows))
        used = int((sizes >= SMALLEST).sum())
        doubt = ''
        if used < 2:
            doubt = 'one component explains the features: no clusters to be seen'
        note = f'all {count} components in use: more clusters than it can tell' * (used >= count)
        return Clusters(labels, sizes, note, doubt)

    return Estimator(name, False, run)


def _density(rows: np.ndarray, seed: int) -> Clusters:
    from sklearn.cluster import HDBSCAN
    from sklearn.neighbors import NearestNeighbors

    size = max(SMALLEST, round(0.002 * len(rows)))
    labels = HDBSCAN(min_cluster_size=size, copy=True).fit_predict(rows)
    inside = labels >= 0
    outside = 1 - inside.mean()
    note = f'{outside:.0%} of the images lie outside and go to the nearest cluster'
    if labels.max(initial=-1) + 1 < FEWEST or outside > NOISIEST:
        doubt = f'{labels.max(initial=-1) + 1} dense clusters, {outside:.0%} of the images outside'
        return Clusters(labels, ranked(np.bincount(labels[inside], minlength=1)), '', doubt)
    if not inside.all():
        near = NearestNeighbors(n_neighbors=1).fit(rows[inside])
        places = near.kneighbors(rows[~inside], return_distance=False)[:, 0]
        labels = labels.copy()
        labels[~inside] = labels[inside][places]
    return Clusters(labels, ranked(np.bincount(labels)), note)


def estimators(
    granularities: Sequence[int] = (10, 30, 100), components: int = COMPONENTS
) -> tuple[Estimator, ...]:
    """The estimators, and what each is biased to.

    * k-means, at several granularities. Its objective is that of a mixture
      with equal weights: it splits large clusters and merges small ones, and
      its own sizes say little about the data. With far more clusters than
      there are classes, it says nothing at all.
    * A Dirichlet-process mixture of Gaussians with learned weights, whose
      components may be of any size and vanish where they are not needed; of
      one variance each, or one for each direction. Clusters that are no
      Gaussians are covered by several components, large ones by more.
    * HDBSCAN, which follows density and knows no sizes. Images outside every
      dense cluster go to the one of their nearest neighbour inside; clusters
      that overlap are one to it, and small ones are missed.

    Args:
        granularities: Numbers of clusters of k-means.
        components: Of a mixture at most.
    """
    return (
        *map(_kmeans, granularities),
        _mixture('spherical', 'mixture, spherical', components),
        _mixture('diag', 'mixture, diagonal', components),
        Estimator('density (HDBSCAN)', False, _density),
    )


ESTIMATORS = estimators()


def cluster_sizes(
    rows: np.ndarray,
    estimator: Estimator,
    halves: int = 10,
    level: float = 0.95,
    seed: int = 0,
) -> ClusterSizes:
    r"""Exponent of the sizes of clusters, with an interval over images.

    The interval comes from random halves of the images, each clustered anew:

    .. math:: \hat\tau \pm t_{H - 1} \, \mathrm{sd}(\hat\tau_1, \dots, \hat\tau_H)

    joined with the interval of :func:`~.prior_fit.fit_law` for sizes that are
    known exactly. A half without replacement has the spread that the whole has around its
    own mean, the delete-half jackknife; the bootstrap's repeated images would
    be dense clusters to an estimate of density. The interval knows nothing of
    the estimator's own bias, of which other estimators tell.

    Args:
        rows: Features as of :func:`principal_components`.
        estimator: One of :func:`estimators`.
        halves: H, at least 2; 0 for no interval.
        level: Of the interval.
        seed: Of estimator and halves.
    """
    from sklearn.metrics import adjusted_rand_score

    whole = estimator.run(rows, seed)
    fit, kept = _fit(whole, seed)
    exponent = fit.estimate if fit else float('nan')
    sizes, doubt = whole.sizes[: kept or 1], whole.doubt
    if not doubt and kept < 2:
        doubt = f'{kept} clusters of at least {SMALLEST} images'
    found, agreement = [], []
    rng = np.random.default_rng(seed)
    for half in range(halves if not doubt else 0):
        part = rng.choice(len(rows), len(rows) // 2, replace=False)
        clusters = estimator.run(rows[part], seed + half + 1)
        agreement.append(adjusted_rand_score(whole.labels[part], clusters.labels))
        half_fit, _ = _fit(clusters, seed)
        if half_fit and not clusters.doubt:
            found.append(half_fit.estimate)
    low = high = shift = stability = float('nan')
    if halves and not doubt:
        stability = float(np.mean(agreement))
        if len(found) < max(2, halves // 2):
            doubt = f'clusters in {len(found)} of {halves} halves of the images only'
        else:
            width = _student(level, len(found) - 1) * float(np.std(found, ddof=1))
            assert fit is not None
            low, high = max(min(exponent - width, fit.low), 0.0), max(exponent + width, fit.high)
            shift = float(np.mean(found)) - exponent
        if not doubt and stability < STABLE:
            doubt = f'half the images give other clusters (adjusted Rand index {stability:.2f})'
    return ClusterSizes(
        estimator.name, estimator.biased, kept, sizes, exponent, low, high, shift, stability,
        whole.note, doubt,
    )  # fmt: skip


def _fit(clusters: Clusters, seed: int) -> tuple[LawFit | None, int]:
    """Exponent of the sizes, and the number of clusters that count."""
    sizes = np.round(clusters.sizes[clusters.sizes >= SMALLEST]).astype(np.int64)
    if len(sizes) < 2:
        return None, len(sizes)
    return fit_law(POWER_LAW, sizes, simulations=100, seed=seed), len(sizes)


def _student(level: float, freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, freedom))
