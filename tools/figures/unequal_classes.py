"""What SimCLR's uniformity and VICReg's variance make of classes of unequal sizes."""

import math
import sys

import numpy as np
import torch
from mmssl_prior.tools.figures.common import (
    BLUE,
    DARK,
    GREEN,
    PALE,
    VERMILION,
    figure,
    run,
)

from mmssl_prior.functional import (
    nt_xent,
    off_diagonal_covariance,
    spherical_variance,
    variance_hinge,
)

TEMPERATURE = 0.5
SHARES = (1 / 3, 0.5, 0.7, 0.9)
SIZES = (48, 12, 4)
VICREG_SIZES = (160, 64, 16, 8)
#: Probability that the positive of an image is another image of its class.
TIE = 0.9
NORM, PULL = 1.25, 1.0
BOUNDED_SHARES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


def minimise(parameters, loss, steps, lr):
    optimizer = torch.optim.Adam([parameters], lr)
    for step in range(steps):
        optimizer.param_groups[0]['lr'] = lr * (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.zero_grad()
        loss(step).backward()
        optimizer.step()
    return parameters.detach()


def three_classes(share, images=60):
    """Angles between three classes, each at one point of the circle, under SimCLR's loss.

    Returns the angle between the large and a rare class, and between the rare ones, in degrees.
    """
    large = round(images * share)
    sizes = torch.tensor([large, (images - large) // 2, (images - large) // 2])
    labels = torch.repeat_interleave(torch.arange(3), sizes)
    angles = torch.tensor([0.0, 2.0, -2.1], dtype=torch.float64, requires_grad=True)

    def loss(_):
        z = torch.stack([angles.cos(), angles.sin()], 1)[labels]
        return nt_xent(torch.stack([z, z]), TEMPERATURE).mean()

    found = torch.rad2deg(minimise(angles, loss, 120, 0.08))
    return float((found[1] - found[0]).abs()), float(360 - (found[1] - found[2]).abs())


def three_classes_by_formula(share):
    """The same for many images: the least of the loss over a grid of the angle."""
    rare = (1 - share) / 2
    angle = np.linspace(0.5, np.pi, 20001)
    near = np.exp(np.cos(angle) / TEMPERATURE)
    between = np.exp(np.cos(2 * angle) / TEMPERATURE)
    same = np.exp(1 / TEMPERATURE)
    loss = share * np.log(share * same + 2 * rare * near)
    loss = loss + 2 * rare * np.log(rare * same + rare * between + share * near)
    best = np.rad2deg(angle[loss.argmin()])
    return best, 360 - 2 * best


def free_embeddings(sizes=SIZES, seed=0, steps=250):
    """One embedding an image, on the circle; by TIE the positive is another of the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    z = torch.randn(len(labels), 2, generator=generator, dtype=torch.float64, requires_grad=True)

    def loss(_):
        # A random cycle within each class: nobody is paired with itself.
        order = (labels + 0.9 * torch.rand(len(labels), generator=generator)).argsort()
        cycle = torch.cat([members.roll(1) for members in order.split(list(sizes))])
        partner = torch.empty_like(labels).index_copy_(0, order, cycle)
        tied = nt_xent(torch.stack([z, z[partner]]), TEMPERATURE).mean()
        return TIE * tied + (1 - TIE) * nt_xent(torch.stack([z, z]), TEMPERATURE).mean()

    found = torch.nn.functional.normalize(minimise(z, loss, steps, 0.05), dim=1)
    spread = [float(spherical_variance(found[labels == c])) for c in range(len(sizes))]
    means = torch.stack([found[labels == c].mean(0) for c in range(len(sizes))])
    return found, labels, spread, own_weights(means, sizes)


def own_weights(points, sizes):
    """Share of each class in the denominator of its own images, classes being at a point each."""
    points = torch.nn.functional.normalize(points, dim=1)
    weights = torch.tensor(sizes) * (points @ points.T / TEMPERATURE).exp()
    return (weights.diagonal() / weights.sum(1)).tolist()


def vicreg_terms(z):
    """The two terms that keep embeddings apart, at VICReg's weights of 25 and 1."""
    return 25 * variance_hinge(z) + off_diagonal_covariance(z)


def vicreg_classes(sizes=VICREG_SIZES, seed=0, steps=600):
    """Squared distances of classes at one point each, in as many dimensions as they need."""
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    generator = torch.Generator().manual_seed(seed)
    width = len(sizes) - 1
    start = 0.05 * torch.randn(len(sizes), width, generator=generator, dtype=torch.float64)
    centers = start.requires_grad_()

    def loss(_):
        rows = centers[labels]
        # More variance than wanted costs nothing; of all minima this takes the least.
        return vicreg_terms(rows) + 0.05 * rows.square().sum(1).mean()

    found = minimise(centers, loss, steps, 0.1)
    return torch.cdist(found, found).square(), found[labels]


def vicreg_distances(sizes=VICREG_SIZES):
    """1 / q_c + 1 / q_c', the squared distance that a unit covariance asks for."""
    inverse = sum(sizes) / torch.tensor(sizes, dtype=torch.float64)
    wanted = inverse[:, None] + inverse
    return wanted.fill_diagonal_(0)


def bounded_vicreg(share, seed=0, images=100, steps=300):
    """Variance within the large and the other class, of one dimension of bounded size."""
    large = round(images * share)
    generator = torch.Generator().manual_seed(seed)
    start = 0.1 * torch.randn(images, 1, generator=generator, dtype=torch.float64)
    start[large:] += 1
    z = start.requires_grad_()

    def within(rows):
        return rows.var(0, correction=0).sum()

    def loss(_):
        rows = NORM * z.tanh()
        pull = (large * within(rows[:large]) + (images - large) * within(rows[large:])) / images
        return vicreg_terms(rows) + PULL * pull

    rows = NORM * minimise(z, loss, steps, 0.1).tanh()
    return float(within(rows[:large])), float(within(rows[large:])), float(within(rows))


def bounded_within(share, other=0.0, total=1.0):
    """The least variance within the large class (derived on the page)."""
    return (total - 4 * share * (1 - share) * NORM**2 - (1 - share) * other) / share


def compute(shares=SHARES):
    found, labels, spread, own = free_embeddings()
    distances, _ = vicreg_classes()
    return dict(
        shares=shares,
        angles=np.array([three_classes(share) for share in shares]),
        embeddings=found,
        labels=labels,
        spread=spread,
        own=own,
        distances=distances,
        wanted=vicreg_distances(),
        bounded=np.array([bounded_vicreg(share) for share in BOUNDED_SHARES]),
    )


def draw(found):
    made, axes = figure(2, 2, height=3.5)
    (simclr, circle), (vicreg, bounded) = axes
    line = np.linspace(1 / 3, 0.97, 60)
    formula = np.array([three_classes_by_formula(share) for share in line])
    for column, (color, marker, name) in enumerate(
        ((BLUE, 'o', 'large and rare'), (VERMILION, '^', 'rare and rare'))
    ):
        simclr.plot(line, formula[:, column], color=color)
        simclr.plot(found['shares'], found['angles'][:, column], marker, color=color, label=name)
    simclr.axhline(120, color=PALE, ls=':')
    simclr.set(
        title='SimCLR: classes at a point each', xlabel='share of the large class',
        ylabel='angle between classes', ylim=(0, 190),
    )  # fmt: skip
    simclr.legend(loc='lower left')
    total = len(found['labels'])
    for c, (color, marker) in enumerate(((BLUE, 'o'), (VERMILION, '^'), (GREEN, 's'))):
        chosen = found['labels'] == c
        rows = found['embeddings'][chosen] * (1 - 0.13 * c)
        label = f'{int(chosen.sum()) / total:.0%} of images, spread {found["spread"][c]:.2f}'
        circle.plot(*rows.T, marker, ms=5, color=color, alpha=0.6, mew=0, label=label)
    circle.set(title='SimCLR: free within a class', aspect='equal')
    circle.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), xticks=[], yticks=[])
    circle.grid(False)
    circle.legend(loc='center', handletextpad=0.1)
    pairs = np.triu_indices(len(VICREG_SIZES), 1)
    wanted, measured = found['wanted'].numpy()[pairs], found['distances'].numpy()[pairs]
    vicreg.plot([0, 50], [0, 50], color=DARK, lw=1, label='1/q + 1/q′')
    vicreg.plot(wanted, measured, 'o', color=BLUE, label='pairs of classes, optimised')
    vicreg.set(
        xlabel='1/q + 1/q′', ylabel='squared distance', title='VICReg: classes at a point each'
    )
    vicreg.legend()
    line = np.linspace(0.5, 1, 200)
    bounded.plot(BOUNDED_SHARES, found['bounded'][:, 0], 'o', color=BLUE, label='optimised')
    bounded.plot(line, np.maximum(bounded_within(line), 0), '--', color=DARK, label='at least')
    bounded.set(
        xlabel='share of the large class', ylabel='variance within it',
        title=f'VICReg: one dimension up to ±{NORM:g}', ylim=(-0.03, 1.1),
    )  # fmt: skip
    bounded.legend(loc='upper left')
    return made


def say(found):
    for share, (outer, inner) in zip(found['shares'], found['angles']):
        formula = three_classes_by_formula(share)
        print(
            f'share {share:.2f}: large-rare {outer:.1f} ({formula[0]:.1f}), rare-rare {inner:.1f} '
            f'({formula[1]:.1f})'
        )
    print('spherical variance of classes of', SIZES, [round(x, 3) for x in found['spread']])
    print('VICReg, squared distances', found['distances'].numpy().round(1)[np.triu_indices(4, 1)])
    print('by formula', found['wanted'].numpy().round(1)[np.triu_indices(4, 1)])
    print('share of each class in its own denominator', [round(x, 3) for x in found['own']])
    for share, (large, other, total) in zip(BOUNDED_SHARES, found['bounded']):
        least = bounded_within(share, other, total)
        print(
            f'share {share:.2f}: within the large class {large:.3f}, at least {least:.3f}; '
            f'total {total:.3f}'
        )


def main(argv=None):
    return run('unequal_classes', compute, draw, say, __doc__, argv)


if __name__ == '__main__':
    sys.exit(main())
