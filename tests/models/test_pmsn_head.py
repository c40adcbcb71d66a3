"""The head against a plain MSN, its laws and its errors."""

import pytest
import torch
from mmpretrain.registry import MODELS

from mmssl_prior.errors import UserError
from mmssl_prior.functional import power_law_prior, uniform_prior
from mmssl_prior.models import PMSNHead

from .msn_reference import balanced_targets, msn_loss


def build(**kwargs):
    torch.manual_seed(0)
    return PMSNHead(num_prototypes=7, embed_dim=5, **kwargs).double()


def embeddings(views=3, batch=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(views, batch, 5, generator=generator, dtype=torch.float64),
        torch.randn(batch, 5, generator=generator, dtype=torch.float64),
    )


UNIFORM = dict(type='UniformPrior')


@pytest.mark.parametrize('marginal', ['off', 'uniform', 'prior'])
@pytest.mark.parametrize('prior', [UNIFORM, dict(type='PowerLawPrior', exponent=1.0)])
def test_loss_and_gradients_agree_with_plain_msn(marginal, prior):
    head = build(prior=prior, sinkhorn=dict(marginal=marginal), prior_loss=dict(loss_weight=0.7))
    # The buffer was rounded to float32; the reference must see the same numbers.
    pi = power_law_prior(7, prior.get('exponent', 0.0))
    head.log_prior = pi.log()
    anchors, target = embeddings()
    anchors.requires_grad_()
    losses = head.loss(anchors, target)
    (losses['loss_ce'] + losses['loss_prior']).backward()

    z = anchors.detach().clone().requires_grad_()
    w = head.prototypes.detach().clone().requires_grad_()
    rows = dict(off=None, uniform=uniform_prior(7), prior=pi)[marginal]
    ce, term = msn_loss(
        list(z), target, w, marginal=rows, weight=0.7, prior=None if prior is UNIFORM else pi
    )
    (ce + term).backward()
    torch.testing.assert_close(losses['loss_ce'], ce)
    torch.testing.assert_close(losses['loss_prior'], term)
    torch.testing.assert_close(anchors.grad, z.grad)
    torch.testing.assert_close(head.prototypes.grad, w.grad)


@pytest.mark.parametrize('prior', [dict(exponent=0.5), 'PowerLawPrior', ['a'] * 7])
def test_what_is_no_prior(prior):
    with pytest.raises(ValueError, match='expected a config such as'):
        build(prior=prior)


def test_any_tensor_is_a_prior():
    weights = torch.tensor([4.0, 3.0, 2.0, 1.0, 1.0, 1.0, 1.0])
    torch.testing.assert_close(build(prior=weights).log_prior.exp().float(), weights / 13)


def test_uniform_prior_is_msn_whatever_names_it():
    """UniformPrior, exponent 0, a vector of equal numbers: the same loss."""
    values = []
    for prior in (UNIFORM, dict(type='PowerLawPrior', exponent=0.0), [3.0] * 7):
        losses = build(prior=prior).loss(*embeddings())
        values.append(losses['loss_ce'] + losses['loss_prior'])
    torch.testing.assert_close(values[1], values[0])
    torch.testing.assert_close(values[2], values[0])


def test_prototypes_move_and_targets_carry_no_gradient():
    head = build()
    anchors, target = embeddings()
    target.requires_grad_()
    before = head.prototypes.detach().clone()
    losses = head.loss(anchors, target)
    (losses['loss_ce'] + losses['loss_prior']).backward()
    assert target.grad is None
    torch.optim.SGD(head.parameters(), lr=1.0).step()
    assert float((head.prototypes - before).abs().min(1).values.max()) > 0
    assert bool(((head.prototypes - before).abs().sum(1) > 0).all())


def test_diagnostics():
    head = build(prior=dict(type='PowerLawPrior', exponent=0.5))
    anchors, target = embeddings()
    losses = head.loss(anchors, target)
    q = balanced_targets(target, head.prototypes, 0.1, 0.25, power_law_prior(7, 0.5))
    p_bar = head.log_probs(anchors).exp().flatten(0, 1).mean(0)
    assert int(losses['target_prototypes']) == len(set(q.argmax(1).tolist()))
    assert float(losses['target_max']) == pytest.approx(float(q.max(1).values.mean()), rel=1e-6)
    assert float(losses['p_bar_entropy']) == pytest.approx(float(-(p_bar * p_bar.log()).sum()))
    assert float(losses['prior_kl']) == pytest.approx(float(losses['loss_prior']))
    assert set(losses) == {
        'loss_ce',
        'loss_prior',
        'prior_kl',
        'p_bar_entropy',
        'target_prototypes',
        'target_max',
    }


def test_gradients_in_double_precision():
    head = build(sinkhorn=dict(marginal='off'))
    anchors, target = embeddings(2, 3)
    anchors.requires_grad_()

    def total(z):
        losses = head.loss(z, target)
        return losses['loss_ce'] + losses['loss_prior']

    assert torch.autograd.gradcheck(total, anchors)


def test_half_precision_embeddings_are_scored_in_float32():
    head = PMSNHead(7, 5)
    anchors, target = (z.bfloat16() for z in embeddings())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = head.loss(anchors, target)
    assert losses['loss_ce'].dtype == torch.float32


def test_prototypes_start_uniform_within_the_released_bound():
    head = MODELS.build(dict(type='PMSNHead', num_prototypes=1024, embed_dim=256))
    head.init_weights()
    w = head.prototypes.detach()
    assert float(w.abs().max()) <= 1 / 16 and float(w.std()) == pytest.approx(
        1 / 16 / 3**0.5, rel=0.01
    )


def test_the_prior_is_not_part_of_a_checkpoint():
    assert set(PMSNHead(7, 5).state_dict()) == {'prototypes'}


def test_empirical_prior_waits_for_counts():
    head = build(prior=dict(type='EmpiricalPrior'))
    assert head.needs_prior_counts
    with pytest.raises(UserError, match='FitPriorHook'):
        head.loss(*embeddings())
    head.fit_prior([2, 1])
    assert not head.needs_prior_counts
    torch.testing.assert_close(head.log_prior.exp().sum(), torch.tensor(1.0).double())
    head.loss(*embeddings())


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(num_prototypes=0), 'num_prototypes'),
        (dict(temperature=0.0), 'temperature'),
        (dict(sharpening=-1.0), 'sharpening'),
        (dict(prior=[0.5, 0.5]), r'shape \(2,\), expected \(7,\)'),
        (dict(prior=[]), 'expected'),
        (dict(prior=[1.0] * 6 + [-1.0]), 'entry 6 is -1'),
        (dict(prior=[1.0] * 6 + [float('nan')]), 'entry 6 is nan'),
        (dict(sinkhorn=dict(marginal='rows')), 'marginal'),
        (dict(sinkhorn=dict(iterations=0)), 'iterations'),
        (
            dict(prior=dict(type='EmpiricalPrior', counts=[1, 2], resample=False)),
            '2 class counts for 7',
        ),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PMSNHead(**dict(dict(num_prototypes=7, embed_dim=5), **kwargs))


def test_embeddings_of_another_width():
    with pytest.raises(ValueError, match='width 4.*embed_dim=5'):
        build().log_probs(torch.zeros(2, 4))
