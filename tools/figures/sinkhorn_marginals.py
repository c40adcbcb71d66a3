"""Who is moved where when assignments of unequal clusters are balanced by Sinkhorn."""

import sys

import torch
from mmssl_prior.tools.figures.common import BLUE, DARK, VERMILION, figure, run

from mmssl_prior.datasets import power_law_counts
from mmssl_prior.functional import power_law_prior, sinkhorn, uniform_prior

CLUSTERS, IMAGES, CONFIDENCE, ITERATIONS = 8, 4000, 12.0, 500


def assignments(seed=0, confidence=CONFIDENCE):
    """Log-assignments, each image's own prototype far ahead of the others; labels."""
    sizes = torch.from_numpy(power_law_counts(IMAGES, CLUSTERS, 1.0))
    labels = torch.repeat_interleave(torch.arange(CLUSTERS), sizes)
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(IMAGES, CLUSTERS, generator=generator, dtype=torch.float64)
    scores[torch.arange(IMAGES), labels] += confidence
    return scores.log_softmax(-1), labels, sizes.double() / IMAGES


def total_variation(p, q):
    return 0.5 * (p - q).abs().sum()


def flow(q, labels):
    """Share of each cluster's images (rows) at each prototype (columns)."""
    ones = torch.nn.functional.one_hot(labels, CLUSTERS).to(q.dtype)
    return ones.T @ q / ones.sum(0)[:, None]


def compute():
    log_q, labels, sizes = assignments()
    marginals = {
        'uniform marginal': uniform_prior(CLUSTERS),
        'power-law marginal': power_law_prior(CLUSTERS, 1.0),
    }
    balanced = {
        name: sinkhorn(log_q, marginal.log(), ITERATIONS).exp()
        for name, marginal in marginals.items()
    }
    own = torch.arange(IMAGES)
    margins = log_q[own, labels] - log_q.scatter(1, labels[:, None], -torch.inf).max(1).values
    q = balanced['uniform marginal']
    largest = labels == 0
    stayed = q[own, labels]
    return dict(
        labels=labels,
        sizes=sizes,
        flows={'before': flow(log_q.exp(), labels)}
        | {name: flow(each, labels) for name, each in balanced.items()},
        moved={name: float(1 - each[own, labels].mean()) for name, each in balanced.items()},
        marginals={name: each.mean(0) for name, each in balanced.items()},
        bound={
            name: float(total_variation(sizes, marginal)) for name, marginal in marginals.items()
        },
        margin_moved=float(margins[largest & (stayed < 0.5)].mean()),
        margin_stayed=float(margins[largest & (stayed >= 0.5)].mean()),
    )


def draw(found):
    made, axes = figure(2, 2, height=3.4)
    for axis, (name, table) in zip(axes.ravel(), found['flows'].items()):
        axis.imshow(table.numpy(), cmap='cividis', vmin=0, vmax=1)
        for i in range(CLUSTERS):
            for j in range(CLUSTERS):
                share = float(table[i, j])
                if share >= 0.015:
                    color = DARK if share > 0.5 else 'white'
                    axis.text(j, i, f'{100 * share:.0f}', ha='center', va='center', color=color)
        axis.set(title=f'{name} (%)', xlabel='prototype', ylabel='cluster, largest first')
        axis.set_xticks(range(CLUSTERS), range(1, CLUSTERS + 1))
        axis.set_yticks(range(CLUSTERS), range(1, CLUSTERS + 1))
        axis.grid(False)
    axis = axes[1, 1]
    ranks = torch.arange(CLUSTERS).numpy()
    sides = ((-0.2, 'uniform marginal', BLUE), (0.2, 'power-law marginal', VERMILION))
    for shift, name, color in sides:
        away = 1 - found['flows'][name].diagonal().numpy()
        axis.bar(ranks + 1 + shift, 100 * away, 0.4, color=color, label=name)
    bound = (1 - 1 / (CLUSTERS * found['sizes'])).clamp_min(0).numpy()
    axis.plot(ranks + 1, 100 * bound, '_', ms=18, mew=2, color=DARK, label='least under uniform')
    axis.set(title='Images moved to another prototype', xlabel='cluster', ylabel='% of the cluster')
    axis.set_ylim(0, 100)
    axis.set_axisbelow(True)
    axis.legend()
    return made


def say(found):
    for name, moved in found['moved'].items():
        print(f'{name}: {moved:.3f} of all images moved, at least {found["bound"][name]:.3f}')
    largest = found['flows']['uniform marginal'][0]
    print('largest cluster under uniform', [round(share, 3) for share in largest.tolist()])
    print(f'lead of those moved {found["margin_moved"]:.2f}, others {found["margin_stayed"]:.2f}')


def main(argv=None):
    return run('sinkhorn_marginals', compute, draw, say, __doc__, argv)


if __name__ == '__main__':
    sys.exit(main())
