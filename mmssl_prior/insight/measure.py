"""Everything a report says of one model: numbers, and which images to show."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..evaluation import covariance_spectrum, nearest_neighbors, rankme
from .agreement import agreement, contingency
from .clusters import CHUNK, cluster_numbers, effective_number, gini, kmeans_clusters
from .frequency_groups import GROUP_NAMES, FrequencyGroups, group_shares
from .health_measures import (
    PredictionSums,
    measure_features,
    measure_prototypes,
    measure_usage,
    sum_predictions,
)
from .plane import neighbour_plane, pca_plane
from .shown import Settings, Shown

__all__ = ['Gathered', 'measure_model']

SPECTRUM = 512
VOTES = 10


@dataclass(frozen=True)
class Gathered:
    """What the measures of a model are computed from; rows are the decodable images.

    Args:
        features: Shape (N, D), memory-mapped.
        labels: Shape (N,), or None.
        classes: Number of classes, 0 without labels.
        groups: Of the classes, or None.
        log_probs: Shape (N, K), memory-mapped, or None without prototypes.
        log_prior: Shape (K,), or None.
        prototypes: Shape (K, E), or None.
        temperature: Of the prototypes' softmax.
    """

    features: Tensor
    labels: np.ndarray | None
    classes: int
    groups: FrequencyGroups | None
    log_probs: Tensor | None = None
    log_prior: Tensor | None = None
    prototypes: Tensor | None = None
    temperature: float = 1.0


def measure_model(
    gathered: Gathered,
    shown: Shown,
    settings: Settings,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure a model's features, clusters and prototypes.

    Args:
        gathered: Features, labels, predictions.
        shown: Images on the plane and as queries, as positions in the rows.
        settings: Of the report.
        say: Is told what is being computed.

    Returns:
        Numbers and positions in the rows, ready for JSON.
    """
    say('spectrum')
    result: dict[str, Any] = dict(features=_features(gathered.features, settings.seed))
    result['prototypes'], clusterings = None, []
    # What the gallery and the plane show: prototypes, or else clusters of k-means.
    shown_clusters: tuple[str, np.ndarray, Tensor] | None = None
    if gathered.log_probs is not None:
        say('usage of the prototypes')
        result['prototypes'], assigned, nearest = _prototypes(gathered, settings.per_prototype)
        shown_clusters = ('prototypes', assigned, nearest)
        clusterings.append(_clustering('prototypes', assigned, len(nearest), gathered))
    numbers = settings.clusters or cluster_numbers(len(gathered.features), gathered.classes)
    for k in numbers:
        say(f'k-means with {k} clusters')
        found = kmeans_clusters(gathered.features, k, settings.seed)
        assigned, name = found.assignments.numpy(), f'k-means {k}'
        entry = _clustering(name, assigned, k, gathered)
        clusterings.append(entry | dict(fitted_on=found.fitted_on))
        if gathered.log_probs is None and (shown_clusters is None or k <= settings.gallery):
            members = _members(found.similarity, assigned, k, settings.per_prototype)
            shown_clusters = (name, assigned, members)
    assert shown_clusters is not None
    name, assigned, nearest = shown_clusters
    result['clusterings'], result['gallery_of'] = clusterings, name
    result['gallery'] = _gallery(assigned, nearest, gathered, settings, result['prototypes'])
    result['point_clusters'] = assigned[shown.points.numpy()].tolist()
    say('neighbours')
    result['retrieval'] = _retrieval(gathered, shown, settings)
    say('plane')
    result['planes'] = _planes(gathered.features, shown.points, settings)
    return result


def _features(features: Tensor, seed: int) -> dict[str, Any]:
    spectrum = covariance_spectrum(features)
    shares = spectrum / spectrum.sum().clamp_min(torch.finfo(spectrum.dtype).tiny)
    # Spread and length are means over images: some thousand tell them.
    generator = torch.Generator().manual_seed(seed)
    few = features[torch.randperm(len(features), generator=generator)[:CHUNK].sort().values]
    measured = measure_features(few.float())
    return dict(
        images=len(features),
        width=features.shape[1],
        rankme=rankme(features),
        spread=measured.std,
        norm=measured.norm,
        dimensions_of_90_percent=int((shares.cumsum(0) < 0.9).sum()) + 1,
        spectrum=shares[:SPECTRUM].tolist(),
    )


def _prototypes(gathered: Gathered, members: int) -> tuple[dict[str, Any], np.ndarray, Tensor]:
    """Usage, the prototype of each image, and the surest images of each prototype (K, m)."""
    log_probs, prototypes = gathered.log_probs, gathered.prototypes
    assert log_probs is not None and prototypes is not None
    sums, assigned, best = [], [], None
    for start in range(0, len(log_probs), CHUNK):
        chunk = log_probs[start : start + CHUNK].float()
        sums.append(sum_predictions(chunk))
        assigned.append(chunk.argmax(1))
        top = chunk.topk(min(members, len(chunk)), dim=0)
        values, rows = top.values, top.indices + start
        if best is not None:
            values, rows = torch.cat([best[0], values]), torch.cat([best[1], rows])
        order = values.sort(dim=0, descending=True, stable=True).indices[:members]
        best = (values.gather(0, order), rows.gather(0, order))
    assert best is not None
    whole = PredictionSums(
        torch.stack([part.mass for part in sums]).sum(0),
        torch.stack([part.counts for part in sums]).sum(0),
        sum(part.entropy for part in sums),
        sum(part.images for part in sums),
    )
    count = log_probs.shape[1]
    prior = gathered.log_prior
    uniform = torch.full((count,), 1 / count, dtype=torch.float64).log()
    usage = measure_usage([whole], uniform if prior is None else prior)
    apart = measure_prototypes(prototypes, gathered.temperature)
    counts = (usage.shares * usage.images).round().long()
    numbers = dict(
        number=count,
        prior=None if prior is None else prior.exp().tolist(),
        p_bar=usage.p_bar.tolist(),
        counts=counts.tolist(),
        kl=None if prior is None else usage.kl,
        total_variation=None if prior is None else usage.total_variation,
        effective=usage.effective,
        used=usage.used,
        expected=None if prior is None else usage.expected,
        entropy=usage.entropy,
        information=usage.information,
        distinct=apart.distinct,
    )
    return numbers, torch.cat(assigned).numpy(), best[1].T.contiguous()


def _clustering(name: str, assigned: np.ndarray, k: int, gathered: Gathered) -> dict[str, Any]:
    sizes = np.bincount(assigned, minlength=k)
    entry: dict[str, Any] = dict(
        name=name,
        clusters=k,
        sizes=np.sort(sizes)[::-1].tolist(),
        used=int((sizes > 0).sum()),
        effective=effective_number(sizes),
        gini=gini(sizes),
    )
    if gathered.labels is not None and gathered.groups is not None:
        entry |= agreement(assigned, gathered.labels)._asdict()
        table = contingency(assigned, gathered.labels)
        table = np.pad(table, ((0, 0), (0, gathered.classes - table.shape[1])))
        entry['groups'] = group_shares(table, gathered.groups)
    return entry


def _members(similarity: Tensor, assigned: np.ndarray, k: int, members: int) -> Tensor:
    """The members nearest to each centre, shape (k, members); -1 where there are no more."""
    order = np.lexsort((-similarity.numpy(), assigned))
    result = torch.full((k, members), -1)
    starts = np.searchsorted(assigned[order], np.arange(k + 1))
    for cluster, (start, stop) in enumerate(zip(starts[:-1], starts[1:])):
        rows = torch.from_numpy(order[start : min(stop, start + members)])
        result[cluster, : len(rows)] = rows
    return result


def _gallery(
    assigned: np.ndarray,
    nearest: Tensor,
    gathered: Gathered,
    settings: Settings,
    usage: dict[str, Any] | None,
) -> list[dict[str, Any]]:
    """Clusters in order of usage; of many, evenly spaced ones from the largest to the smallest."""
    sizes = np.bincount(assigned, minlength=len(nearest))
    order = np.argsort(-(np.asarray(usage['p_bar']) if usage else sizes), kind='stable')
    chosen = np.unique(np.linspace(0, len(order) - 1, min(settings.gallery, len(order))).round())
    entries = []
    for place in chosen.astype(int):
        cluster = int(order[place])
        entry: dict[str, Any] = dict(
            cluster=cluster,
            place=int(place) + 1,
            images=int(sizes[cluster]),
            usage=usage['p_bar'][cluster] if usage else float(sizes[cluster] / sizes.sum()),
            prior=usage['prior'][cluster] if usage and usage['prior'] else None,
            nearest=[int(row) for row in nearest[cluster] if row >= 0],
        )
        if gathered.labels is not None:
            inside = np.bincount(gathered.labels[assigned == cluster], minlength=gathered.classes)
            top = np.argsort(-inside, kind='stable')[:3]
            entry['classes'] = [[int(c), int(inside[c])] for c in top if inside[c]]
        entries.append(entry)
    return entries


def _retrieval(gathered: Gathered, shown: Shown, settings: Settings) -> dict[str, Any]:
    features, labels = gathered.features, gathered.labels
    count = min(settings.neighbours, len(features) - 1)
    rows = _others(features, shown.queries, count)
    result: dict[str, Any] = dict(
        queries=[
            dict(query=int(query), neighbours=found)
            for query, found in zip(shown.queries.tolist(), rows)
        ]
    )
    votes = min(VOTES, len(features) - 1)
    if votes and labels is not None and gathered.groups is not None:
        near = _others(features, shown.points, votes)
        own = labels[shown.points.numpy()]
        same = np.array([[labels[row] for row, _ in found] for found in near]) == own[:, None]
        kinds = gathered.groups.of_class[own]
        result['same_class'] = dict(
            neighbours=votes,
            all=float(same.mean()),
            **{
                name: float(same[kinds == number].mean()) if (kinds == number).any() else None
                for number, name in enumerate(GROUP_NAMES)
            },
        )
    return result


def _others(features: Tensor, rows: Tensor, count: int) -> list[list[tuple[int, float]]]:
    """The nearest rows of each row but itself, with their cosines."""
    if count < 1:
        return [[] for _ in rows]
    similarity, index = nearest_neighbors(features[rows].float(), features, count + 1)
    found = []
    for row, near, cosines in zip(rows.tolist(), index.tolist(), similarity.tolist()):
        found.append([pair for pair in zip(near, cosines) if pair[0] != row][:count])
    return found


def _planes(features: Tensor, shown: Tensor, settings: Settings) -> dict[str, Any]:
    pca = pca_plane(features, shown)
    planes = dict(pca=dict(points=_unit(pca.points), explained=list(pca.explained)))
    if settings.layout != 'pca':
        near = neighbour_plane(features, shown, settings.layout, settings.seed)
        if near is not None:
            planes[settings.layout] = dict(points=_unit(near.points), explained=[])
    return planes


def _unit(points: Tensor) -> list[list[float]]:
    """Points in the unit square, of one scale on both axes."""
    low, high = points.min(0).values, points.max(0).values
    scale = (high - low).max().clamp_min(1e-12)
    centred = (points - (low + high) / 2) / scale + 0.5
    return [[round(x, 4), round(y, 4)] for x, y in centred.tolist()]
