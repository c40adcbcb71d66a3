"""SimCLR, VICReg and SwAV on two and three gloo ranks equal one process on all images.

Networks with batch norm, double precision, different and unequal data on each rank.
"""

import pytest
import torch

from mmssl_prior.functional import gather_rows, global_mean
from tests.gloo import run_ranks
from tests.models.test_distributed import SPLITS, ddp_gradients, rows, share
from tests.models.test_joint_embedding import SIMCLR, SWAV, VICREG, build, total

STOCK_SIMCLR = dict(
    SIMCLR,
    type='SimCLR',
    head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss')),
)
POWER_LAW = dict(type='PowerLawPrior', exponent=1.0)
CASES = dict(
    simclr=(SIMCLR, 0),
    vicreg=(VICREG, 0),
    swav=(SWAV, 2),
    queue=(dict(SWAV, queue_length=7, head=dict(SWAV['head'], prior=POWER_LAW)), 1),
)
STEPS = 2  # the queue is full in the second


def images(step, small=0):
    sizes = [8, 8] + [4] * small
    return [rows(10 * step + i, 8, 3, s, s) for i, s in enumerate(sizes)]


def train(name, shares):
    """Losses, averaged gradients and state of two steps of plain gradient descent."""
    cfg, small = CASES[name]
    model = build(cfg).double()
    history = []
    for step in range(STEPS):
        model.zero_grad()
        losses = model([shares(view) for view in images(step, small)], mode='loss')
        total(losses).backward()
        grads = {k: p.grad.clone() for k, p in model.named_parameters()}
        if torch.distributed.is_initialized():
            grads = dict(zip(grads, ddp_gradients(model)))
        history.append(({k: v.detach() for k, v in losses.items()}, grads))
        with torch.no_grad():
            for param in model.parameters():
                param -= 0.1 * param.grad / (1e-3 + param.grad.norm())
    return history, model.state_dict()


def stock_simclr(cfg, shares):
    """Gradients of one step, the ranks' batches being equal."""
    model = build(cfg).double()
    loss = total(model([shares(view) for view in images(0)], mode='loss'))
    loss.backward()
    if torch.distributed.is_initialized():
        ddp_gradients(model)
    return loss.detach(), {k: p.grad for k, p in model.named_parameters()}


def gathered(rank, world_size):
    x = share(rows(0, 8, 4), world_size, rank).clone().requires_grad_()
    everything, start = gather_rows(x)
    (everything.sin().sum() * (1 + x.square()).sum()).backward()
    mean = global_mean(x.detach())
    return everything.detach(), start, x.grad, mean


def all_cases(rank, world_size):
    results = {name: train(name, lambda x: share(x, world_size, rank)) for name in CASES}
    results['gather'] = gathered(rank, world_size)
    if world_size == 2:
        for name, cfg in dict(stock=STOCK_SIMCLR, ours=SIMCLR).items():
            results[name] = stock_simclr(cfg, lambda x: x.chunk(2)[rank])
    return results


@pytest.fixture(scope='module', params=[2, 3])
def ranks(request):
    return request.param, run_ranks(request.param, all_cases, request.param)


@pytest.mark.parametrize('name', CASES)
def test_ranks_equal_one_process(ranks, name):
    history, state = train(name, lambda x: x)
    for results in ranks[1]:
        rank_history, rank_state = results[name]
        for (losses, grads), (rank_losses, rank_grads) in zip(history, rank_history):
            for key, value in losses.items():
                torch.testing.assert_close(rank_losses[key], value, msg=key)
            for key, grad in grads.items():
                torch.testing.assert_close(rank_grads[key], grad, rtol=1e-6, atol=1e-9, msg=key)
        assert rank_state.keys() == state.keys()
        for key, value in state.items():
            torch.testing.assert_close(rank_state[key], value, msg=key)
    if name == 'queue':
        assert int(state['queue_filled']) == 7


def test_gather_rows(ranks):
    world_size, results = ranks
    x = rows(0, 8, 4)
    splits = SPLITS[world_size]
    factors = [float((1 + part.square()).sum()) for part in x.split(splits)]
    for rank, (everything, start, grad, mean) in enumerate(results_of(results, 'gather')):
        torch.testing.assert_close(everything, x)
        assert start == sum(splits[:rank])
        own = x.split(splits)[rank]
        expected = own.cos() * sum(factors) + 2 * own * x.sin().sum()
        torch.testing.assert_close(grad, expected)
        torch.testing.assert_close(mean, x.mean())


def results_of(results, name):
    return [r[name] for r in results]


def test_mmpretrain_simclr_has_a_fraction_of_the_gradient_and_ours_the_whole(ranks):
    world_size, results = ranks
    if world_size != 2:
        pytest.skip('its ranks must hold equally many images')
    loss, grads = stock_simclr(STOCK_SIMCLR, lambda x: x)
    for ours, stock in zip(results_of(results, 'ours'), results_of(results, 'stock')):
        torch.testing.assert_close(ours[0], loss)
        torch.testing.assert_close(stock[0], loss)
        for key, grad in grads.items():
            torch.testing.assert_close(ours[1][key], grad, rtol=1e-6, atol=1e-9, msg=key)
            torch.testing.assert_close(stock[1][key], grad / 2, rtol=1e-6, atol=1e-9, msg=key)
