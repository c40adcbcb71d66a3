"""Gradients of MSN's and PMSN's terms at frequent and rare prototypes."""

import sys

import torch
from mmssl_prior.tools.figures.common import BLUE, DARK, GREEN, VERMILION, figure, run

from mmssl_prior.functional import kl_divergence, power_law_prior, uniform_prior

PROTOTYPES, EXPONENT = 64, 1.0


def by_probability(p, prior):
    """d KL(p || prior) / d p_k, entries of p taken as independent."""
    return (p / prior).log() + 1


def by_logit(p, prior):
    """d KL(p || prior) / d a_k where p = softmax(a)."""
    return p * ((p / prior).log() - kl_divergence(p.log(), prior.log()))


def reverse_by_probability(p, prior):
    """d KL(prior || p) / d p_k."""
    return -prior / p


def by_logit_of_a_sample(predictions, prior):
    """d KL(mean of the predictions || prior) / d a_nk where row n is softmax(a_n)."""
    force = (predictions.mean(0) / prior).log()
    return predictions * (force - predictions @ force[:, None]) / len(predictions)


def by_autograd(p, prior):
    logits = p.log().requires_grad_()
    kl_divergence(logits.log_softmax(-1), prior.log()).backward()
    return logits.grad


def with_rarest(share, prior):
    """The prior with another probability of its last entry."""
    rest = prior[:-1] / prior[:-1].sum() * (1 - share)
    return torch.cat([rest, rest.new_tensor([share])])


def compute():
    prior, uniform = power_law_prior(PROTOTYPES, EXPONENT), uniform_prior(PROTOTYPES)
    shares = torch.logspace(-6, -0.5, 200, dtype=torch.float64)
    sweep = [with_rarest(float(share), prior) for share in shares]
    return dict(
        prior=prior,
        msn=by_autograd(prior, uniform),
        pmsn=by_autograd(prior, prior),
        turn=float(
            (kl_divergence(prior.log(), uniform.log()) - torch.tensor(PROTOTYPES).log()).exp()
        ),
        shares=shares,
        forward={
            'MSN': torch.stack([by_probability(p, uniform)[-1] for p in sweep]),
            'PMSN': torch.stack([by_probability(p, prior)[-1] for p in sweep]),
        },
        reverse=torch.stack([reverse_by_probability(p, prior)[-1] for p in sweep]),
    )


def draw(found):
    made, axes = figure(1, 2, width=4.8, height=3.8)
    left, right = axes[0]
    found = {
        key: value.numpy() if torch.is_tensor(value) else value for key, value in found.items()
    }
    ranks = range(1, PROTOTYPES + 1)
    left.axhline(0, color=DARK, lw=0.8)
    left.plot(ranks, found['msn'], 'o-', ms=3, color=BLUE, label="MSN's term")
    left.plot(ranks, found['pmsn'], '^-', ms=3, color=VERMILION, label="PMSN's term")
    left.set(
        xscale='log', xlabel='rank of the prototype', ylabel='gradient by its logit',
        title='Where p̄ is the prior already',
    )  # fmt: skip
    left.legend()
    right.axhline(0, color=DARK, lw=0.8)
    shares = found['shares']
    right.plot(shares, found['forward']['MSN'], color=BLUE, label='MSN: KL(p̄ ‖ u)')
    right.plot(shares, found['forward']['PMSN'], '--', color=VERMILION, label='PMSN: KL(p̄ ‖ π)')
    right.plot(shares, found['reverse'], '-.', color=GREEN, label='reverse: KL(π ‖ p̄)')
    right.axvline(float(found['prior'][-1]), color=DARK, ls=':', lw=1.2)
    right.annotate(
        'its prior', (float(found['prior'][-1]), 12), xytext=(4, 0), textcoords='offset points'
    )
    right.set(
        xscale='log', xlabel='p̄ of the rarest prototype', ylabel='gradient by p̄',
        title='The rarest prototype', ylim=(-30, 16),
    )  # fmt: skip
    right.legend(loc='lower right')
    return made


def say(found):
    print('MSN at the prior: first', float(found['msn'][0]), 'last', float(found['msn'][-1]))
    print('MSN raises prototypes whose share is below', round(found['turn'], 4))
    print('of', PROTOTYPES, 'prototypes raised:', int((found['msn'] < 0).sum()))
    print('PMSN at the prior: largest', float(found['pmsn'].abs().max()))
    prior = found['prior']
    for share in (1e-6, float(prior[-1])):
        p = with_rarest(share, prior)
        print(
            f'rarest at {share:.2g}: MSN {float(by_probability(p, uniform_prior(64))[-1]):.2f} '
            f'PMSN {float(by_probability(p, prior)[-1]):.2f} '
            f'reverse {float(reverse_by_probability(p, prior)[-1]):.1f}'
        )


def main(argv=None):
    return run('rare_prototypes', compute, draw, say, __doc__, argv)


if __name__ == '__main__':
    sys.exit(main())
