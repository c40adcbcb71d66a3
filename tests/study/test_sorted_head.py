"""A head that matches its prior to the usage of the prototypes."""

import copy

import pytest
import torch

from mmssl_prior.config.arguments import accepted_arguments
from mmssl_prior.config.numbers import check_numbers
from mmssl_prior.errors import UserError
from mmssl_prior.functional import power_law_prior, uniform_prior
from mmssl_prior.models import PMSNHead
from mmssl_prior.study.sorted_matching import SortedPMSNHead
from tests.models.msn_reference import msn_loss, predictions

STEEP = dict(type='PowerLawPrior', exponent=1.0)


def build(head=SortedPMSNHead, prior=STEEP, **kwargs):
    torch.manual_seed(0)
    return head(num_prototypes=7, embed_dim=5, prior=prior, **kwargs).double()


def embeddings(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(3, 6, 5, generator=generator, dtype=torch.float64),
        torch.randn(6, 5, generator=generator, dtype=torch.float64),
    )


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize('marginal', ['off', 'uniform', 'prior'])
def test_three_steps_agree_with_a_loop(marginal):
    """Python's sort and a mean by hand; loss and marginal have the same prior."""
    head = build(sinkhorn=dict(marginal=marginal), usage_momentum=0.5)
    pi = power_law_prior(7, 1.0)
    head.log_prior = pi.log()
    usage, orders = [0.0] * 7, []
    for step in range(3):
        anchors, target = embeddings(step)
        order = sorted(range(7), key=lambda k: -usage[k])
        orders.append(order)
        matched = torch.tensor([float(pi[order.index(k)]) for k in range(7)]).double()
        rows = dict(off=None, uniform=uniform_prior(7), prior=matched)[marginal]
        prototypes = head.prototypes.detach()
        ce, term = msn_loss(list(anchors), target, prototypes, marginal=rows, prior=matched)
        torch.testing.assert_close(head.matched_log_prior.exp(), matched)
        losses = head.loss(anchors, target)
        torch.testing.assert_close(losses['loss_ce'].detach(), ce)
        torch.testing.assert_close(losses['loss_prior'].detach(), term)
        torch.testing.assert_close(losses['prior_kl'], term)
        p_bar = predictions(anchors.flatten(0, 1), prototypes, 0.1).mean(0).tolist()
        usage = [0.5 * u + 0.5 * p for u, p in zip(usage, p_bar)]
        torch.testing.assert_close(head.usage, torch.tensor(usage).double())
    assert orders[0] == list(range(7)) and len({tuple(order) for order in orders}) > 1


@pytest.mark.parametrize('prior', [STEEP, [1.0, 5.0, 2.0, 2.0, 1.0, 7.0, 3.0]], ids=['law', 'list'])
def test_the_first_step_is_that_of_fixed_ranks(prior):
    fixed, matched = build(PMSNHead, prior), build(prior=prior)
    assert same(fixed.loss(*embeddings()), matched.loss(*embeddings()))
    assert not same(fixed.loss(*embeddings(1)), matched.loss(*embeddings(1)))


def test_with_a_uniform_prior_it_is_msn():
    fixed, matched = (build(h, dict(type='UniformPrior')) for h in (PMSNHead, SortedPMSNHead))
    for step in range(3):
        assert same(fixed.loss(*embeddings(step)), matched.loss(*embeddings(step)))


@pytest.mark.parametrize('kind', [PMSNHead, SortedPMSNHead])
def test_the_index_of_a_prototype_means_nothing_if_sorted(kind):
    head = build(kind)
    head.loss(*embeddings())  # from here on none are equal
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    other = copy.deepcopy(head)
    other.prototypes.data = head.prototypes.data[order]
    if kind is PMSNHead:
        assert not torch.isclose(
            head.loss(*embeddings(1))['prior_kl'], other.loss(*embeddings(1))['prior_kl']
        )
        return
    other.usage = head.usage[order]
    for step in (1, 2, 3):
        losses = other.loss(*embeddings(step))
        for name, value in head.loss(*embeddings(step)).items():
            torch.testing.assert_close(losses[name], value, msg=name)
        torch.testing.assert_close(other.usage, head.usage[order])


def test_a_resume_goes_on_to_the_bit():
    head = build()
    head.loss(*embeddings())
    state = copy.deepcopy(head.state_dict())
    assert set(state) == {'prototypes', 'usage'}
    again = build()
    again.load_state_dict(state)
    for step in (1, 2):
        assert same(head.loss(*embeddings(step)), again.loss(*embeddings(step)))


def test_only_steps_of_a_training_are_counted():
    head = build()
    buffer, start = head.usage, torch.zeros(7).double()
    head.eval().loss(*embeddings())
    assert torch.equal(head.usage, start)
    head.train()
    head.targets(embeddings()[1])
    anchors, target = embeddings()
    head.loss(anchors.where(anchors > 0, torch.nan), target)
    assert torch.equal(head.usage, start)
    head.loss(anchors, target)
    assert float(head.usage.sum()) == pytest.approx(0.1)
    # In place, for an optimizer wrapper that takes back the buffers of a step.
    assert head.usage is buffer and not head.usage.requires_grad


def test_a_prior_that_waits_for_counts():
    head = build(prior=dict(type='EmpiricalPrior'))
    with pytest.raises(UserError, match='FitPriorHook'):
        head.loss(*embeddings())
    head.fit_prior([2, 1])
    head.loss(*embeddings())
    assert torch.equal(head.matched_log_prior.sort().values, head.log_prior.sort().values)


@pytest.mark.parametrize(
    ('momentum', 'shown'), [(1.0, '1.0'), (-0.1, '-0.1'), (float('nan'), 'nan')]
)
def test_bad_momentum(momentum, shown):
    with pytest.raises(UserError, match=rf'usage_momentum must be in \[0, 1\), got {shown}'):
        build(usage_momentum=momentum)


def test_the_check_of_a_config_knows_its_arguments():
    arguments = dict(num_prototypes=7, usage_momentum=0.5)
    assert set(arguments) <= accepted_arguments(SortedPMSNHead)
    check_numbers('model.head', arguments, SortedPMSNHead)
    with pytest.raises(UserError, match=r"head\.usage_momentum must be a number, got 'x'"):
        check_numbers('model.head', dict(usage_momentum='x'), SortedPMSNHead)
