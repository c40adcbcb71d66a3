"""Head, medium and tail: the classes by their number of images."""

from typing import NamedTuple

import numpy as np

from ..errors import UserError

__all__ = ['GROUP_NAMES', 'FrequencyGroups', 'frequency_groups', 'group_shares']

GROUP_NAMES = ('head', 'medium', 'tail')
MANY, FEW = 100, 20
#: Classes whose sizes differ by less than this factor have no head and no tail.
BALANCED = 1.5


class FrequencyGroups(NamedTuple):
    """Classes in three groups.

    Attributes:
        of_class: 0 for head, 1 for medium, 2 for tail, shape (C,); -1 for a
            class without images.
        rule: What the groups are, in words.
    """

    of_class: np.ndarray
    rule: str


def frequency_groups(
    counts: np.ndarray, few_below: int | None = None, many_above: int | None = None
) -> FrequencyGroups:
    """Divide classes into head, medium and tail.

    By the usual bounds (tail: fewer than 20 images, head: more than 100), as
    the many, medium and few shots of an evaluation. Where those leave a group
    empty, by thirds: classes in order of size, the largest third of the
    classes is the head. Classes of about the same size are all medium.

    Args:
        counts: Images of each class, shape (C,).
        few_below: Bound of the tail; given with the other one, both hold
            whatever they leave.
        many_above: Bound of the head.

    Raises:
        UserError: If only one bound is given or they overlap.

    Example:
        >>> frequency_groups(np.array([500, 60, 5])).of_class.tolist()
        [0, 1, 2]
        >>> frequency_groups(np.array([9, 4, 6])).of_class.tolist()
        [0, 2, 1]
        >>> frequency_groups(np.array([50, 60, 50])).of_class.tolist()
        [1, 1, 1]
    """
    counts = np.asarray(counts, np.int64)
    if (few_below is None) != (many_above is None):
        raise UserError('give both bounds of the groups, or none')
    present = counts > 0
    few, many = (few_below, many_above) if few_below is not None else (FEW, MANY)
    assert few is not None and many is not None
    if few > many + 1:
        raise UserError(f'groups of fewer than {few} and more than {many} images overlap')
    groups = np.where(counts > many, 0, np.where(counts < few, 2, 1))
    rule = f'head: classes of more than {many} images, tail: of fewer than {few}, medium: between'
    if few_below is None and len(np.unique(groups[present])) < len(GROUP_NAMES):
        order = np.argsort(-counts, kind='stable')[: present.sum()]
        groups[order] = np.arange(len(order)) * 3 // max(len(order), 1)
        rule = (
            'head, medium and tail: the largest, middle and smallest third of the classes in '
            'order of size'
        )
        if counts[present].max() < BALANCED * counts[present].min():
            groups[:] = 1
            rule = 'all classes are of about the same size'
    return FrequencyGroups(np.where(present, groups, -1), rule)


def group_shares(table: np.ndarray, groups: FrequencyGroups) -> dict[str, dict[str, float | None]]:
    r"""What each group has of the images, the classes and the clusters, and what is found again.

    A cluster is of the group of its most frequent class. An image is found if
    its class is the most frequent one of its cluster; the share of found
    images is averaged over the classes of a group,

    .. math:: \frac{1}{|G|} \sum_{c \in G} \frac{1}{n_c} \sum_{k: c = c^*(k)} n_{kc}

    Args:
        table: Counts of clusters and classes, as :func:`.contingency` gives.
        groups: Of the classes.

    Returns:
        By group's name ``images``, ``classes``, ``clusters`` (shares) and
        ``found`` (None without classes).

    Example:
        >>> table = np.array([[9, 1], [6, 0]])
        >>> shares = group_shares(table, frequency_groups(table.sum(0), 2, 10))
        >>> shares['head']['clusters'], shares['tail']['found']
        (1.0, 0.0)
    """
    counts = table.sum(0)
    # None of a class's images may be among those of the table: they cannot be decoded.
    kinds = np.where(counts > 0, groups.of_class[: table.shape[1]], -1)
    used = table[table.sum(1) > 0]
    majority = used.argmax(1)
    found = np.zeros(len(counts))
    np.add.at(found, majority, used.max(1))
    result: dict[str, dict[str, float | None]] = {}
    for number, name in enumerate(GROUP_NAMES):
        own = kinds == number
        result[name] = dict(
            images=float(counts[own].sum() / counts.sum()),
            classes=float(own.sum() / (kinds >= 0).sum()),
            clusters=float(own[majority].mean()),
            found=float((found[own] / counts[own]).mean()) if own.any() else None,
        )
    return result
