"""The head that is wrong on purpose is wrong in the way that it says, and else right."""

import pytest
import torch

from mmssl_prior.errors import UserError
from mmssl_prior.functional import power_law_prior
from mmssl_prior.models.heads import PMSNHead
from mmssl_prior.study.mistakes import MistakenPMSNHead

SIZES = dict(num_prototypes=5, embed_dim=4, prior=dict(type='PowerLawPrior', exponent=1.0))


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 6, 4, generator=generator), torch.randn(6, 4, generator=generator)


def heads(**mistakes):
    wrong, right = MistakenPMSNHead(**SIZES, **mistakes), PMSNHead(**SIZES)
    wrong.load_state_dict(right.state_dict())
    return wrong, right


def test_without_a_mistake_it_is_the_head(views):
    wrong, right = heads()
    torch.testing.assert_close(wrong.loss(*views), right.loss(*views), rtol=0, atol=0)
    assert wrong.prototypes.requires_grad


def test_a_local_mean_is_that_of_each_part(views):
    wrong, right = heads(parts=3)
    anchors, target = views
    losses, others = wrong.loss(anchors, target), right.loss(anchors, target)
    prior, total = power_law_prior(5, 1.0), 0.0
    for rank in range(3):
        images = anchors[:, 2 * rank : 2 * rank + 2].reshape(-1, 4)
        p = right.log_probs(images).double().exp().mean(0)
        total += (p * (p / prior).log()).sum() / 3
    torch.testing.assert_close(losses['loss_prior'].double(), total, rtol=1e-5, atol=1e-7)
    # The divergence is convex: parts can only be farther from the prior than the whole.
    assert losses['loss_prior'] > others['loss_prior']
    assert losses['loss_ce'] == others['loss_ce'] and losses['prior_kl'] == others['prior_kl']


def test_frozen_prototypes_have_no_gradient(views):
    wrong, _ = heads(frozen_prototypes=True)
    anchors, target = views
    losses = wrong.loss(anchors.requires_grad_(), target)
    (losses['loss_ce'] + losses['loss_prior']).backward()
    assert wrong.prototypes.grad is None and anchors.grad.abs().sum() > 0


def test_parts_of_unequal_size(views):
    wrong, _ = heads(parts=4)
    with pytest.raises(UserError, match='6 images do not divide into parts=4'):
        wrong.loss(*views)
