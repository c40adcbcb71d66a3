"""Two and three gloo ranks with different and unequal data equal one process on all of it."""

import copy

import pytest
import torch
from torch import nn

from mmssl_prior.functional import (
    all_reduce_sum,
    distributed_log_mean_exp,
    distributed_logsumexp,
    gather_stack,
    global_mean,
    power_law_prior,
    sinkhorn,
)
from mmssl_prior.models import PMSNHead, PortableSyncBatchNorm
from mmssl_prior.study.sorted_matching import SortedPMSNHead
from tests.gloo import run_ranks

SPLITS = {2: [5, 3], 3: [4, 1, 3]}
HEADS = [PMSNHead, SortedPMSNHead]
MARGINALS = ['off', 'uniform', 'prior']


def all_cases(rank, world_size):
    """Everything the tests look at, in one process group: starting ranks costs seconds."""
    return {
        'reductions': reductions(rank, world_size),
        'no rows': rank_without_rows(rank, world_size),
        'balance': balance(rank, world_size),
        'communication': {head.__name__: communication(head) for head in HEADS},
        'sorted': sorted_steps(*split_views(rank, world_size)),
        **{('head', m): head_step(rank, world_size, m) for m in MARGINALS},
        **{
            ('batch norm', images): batch_norm_step(rank, world_size, images)
            for images in (False, True)
        },
    }


@pytest.fixture(scope='module', params=[2, 3])
def ranks(request):
    """Results by case, each a list over ranks; and the world size."""
    results = run_ranks(request.param, all_cases, request.param)
    return {'world_size': request.param, **{k: [r[k] for r in results] for k in results[0]}}


def rows(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def share(x, world_size, rank):
    return x.split(SPLITS[world_size])[rank]


def ddp_gradients(module):
    """The mean over ranks that DistributedDataParallel takes."""
    for param in module.parameters():
        torch.distributed.all_reduce(param.grad)
        param.grad /= torch.distributed.get_world_size()
    return [p.grad for p in module.parameters()]


def reductions(rank, world_size):
    x = share(rows(0, 8, 4), world_size, rank).clone().requires_grad_()
    outputs = [
        distributed_logsumexp(x),
        distributed_log_mean_exp(x),
        global_mean(x.square()).reshape(1),
        all_reduce_sum(x.sum(0)).square(),
        gather_stack(x.sum(0)).prod(0),
    ]
    (sum(o.sin().sum() for o in outputs) / world_size).backward()
    return [o.detach() for o in outputs], x.grad


def communication(head_class):
    """Elements that this rank sends in each collective of a step of the head, forward; backward."""
    sent: list[int] = []
    originals = torch.distributed.all_reduce, torch.distributed.all_gather

    def all_reduce(x, *args, **kwargs):
        sent.append(x.numel())
        return originals[0](x, *args, **kwargs)

    def all_gather(out, x, *args, **kwargs):
        sent.append(x.numel())
        return originals[1](out, x, *args, **kwargs)

    torch.distributed.all_reduce, torch.distributed.all_gather = all_reduce, all_gather
    try:
        head = head_class(num_prototypes=50, embed_dim=4)
        losses = head.loss(rows(0, 3, 6, 4).float().requires_grad_(), rows(1, 6, 4).float())
        forward = len(sent)
        (losses['loss_ce'] + losses['loss_prior']).backward()
    finally:
        torch.distributed.all_reduce, torch.distributed.all_gather = originals
    return sent[:forward], sent[forward:]


@pytest.mark.parametrize('head', [head.__name__ for head in HEADS])
def test_the_head_sends_no_more_than_the_prototypes(ranks, head):
    """K for each iteration of Sinkhorn, for p_bar and for its gradient; the rest are scalars."""
    for forward, backward in (of_rank[head] for of_rank in ranks['communication']):
        assert forward == [50, 50, 50, 2, 51, 50, 2]  # Sinkhorn, mean, p_bar, two diagnostics
        assert sorted(backward) == [2, 51]


def test_reductions_and_their_gradients(ranks):
    x = rows(0, 8, 4).requires_grad_()
    parts = x.split(SPLITS[ranks['world_size']])
    product = torch.stack([p.sum(0) for p in parts]).prod(0)
    expected = [
        x.exp().sum(0).log(),
        x.exp().mean(0).log(),
        x.square().mean().reshape(1),
        x.sum(0).square(),
        product,
    ]
    sum(o.sin().sum() for o in expected).backward()
    results = ranks['reductions']
    for outputs, _ in results:
        for value, reference in zip(outputs, expected):
            torch.testing.assert_close(value, reference.detach())
    torch.testing.assert_close(torch.cat([grad for _, grad in results]), x.grad)


def rank_without_rows(rank, world_size):
    x = torch.zeros(0 if rank else 2, 3)
    return distributed_log_mean_exp(x.log_softmax(-1)), sinkhorn(x, power_law_prior(3, 1.0).log())


def test_a_rank_without_rows_takes_part(ranks):
    for rank, (log_mean, q) in enumerate(ranks['no rows']):
        torch.testing.assert_close(log_mean.exp(), torch.full((3,), 1 / 3))
        assert len(q) == (0 if rank else 2) and bool(torch.isfinite(q).all())


def balance(rank, world_size):
    return sinkhorn(share(3 * rows(1, 8, 5), world_size, rank), power_law_prior(5, 1.0).log(), 200)


def test_sinkhorn_balances_the_global_batch(ranks):
    log_q, marginal = 3 * rows(1, 8, 5), power_law_prior(5, 1.0)
    q = torch.cat(ranks['balance'])
    torch.testing.assert_close(q, sinkhorn(log_q, marginal.log(), 200))
    torch.testing.assert_close(q.exp().mean(0), marginal, rtol=1e-6, atol=1e-9)
    local = sinkhorn(log_q[:3], marginal.log(), 200)
    assert float((local.exp() - q[:3].exp()).abs().max()) > 1e-2, 'the test sees local sums'


def make_head(marginal, kind=PMSNHead):
    torch.manual_seed(3)
    prior = dict(type='PowerLawPrior', exponent=1.0)
    sizes = dict(num_prototypes=6, embed_dim=5)
    return kind(**sizes, prior=prior, sinkhorn=dict(marginal=marginal)).double()


def head_step(rank, world_size, marginal):
    head = make_head(marginal)
    anchors = rows(2, 2, 8, 5).split(SPLITS[world_size], 1)[rank].clone().requires_grad_()
    losses = head.loss(anchors, share(rows(4, 8, 5), world_size, rank))
    (losses['loss_ce'] + losses['loss_prior']).backward()
    grads = ddp_gradients(head)
    return {k: v.detach() for k, v in losses.items()}, grads, anchors.grad / world_size


@pytest.mark.parametrize('marginal', MARGINALS)
def test_head_on_ranks_equals_one_process(ranks, marginal):
    head = make_head(marginal)
    anchors = rows(2, 2, 8, 5).requires_grad_()
    expected = head.loss(anchors, rows(4, 8, 5))
    (expected['loss_ce'] + expected['loss_prior']).backward()
    results = ranks['head', marginal]
    for losses, grads, _ in results:
        for name, value in losses.items():
            torch.testing.assert_close(value, expected[name].detach(), msg=name)
        torch.testing.assert_close(grads[0], head.prototypes.grad)
    torch.testing.assert_close(torch.cat([g for _, _, g in results], 1), anchors.grad)


def split_views(rank, world_size):
    return rows(2, 2, 8, 5).split(SPLITS[world_size], 1)[rank], share(
        rows(4, 8, 5), world_size, rank
    )


def sorted_steps(anchors, target):
    """Losses, gradient and usage of two steps, the second in the order that the first made."""
    head = make_head('prior', SortedPMSNHead)
    steps = []
    for _ in range(2):
        losses = head.loss(anchors, target)
        (grad,) = torch.autograd.grad(losses['loss_ce'] + losses['loss_prior'], head.prototypes)
        steps.append(({k: v.detach() for k, v in losses.items()}, grad, head.usage.clone()))
    return steps


def test_usage_that_sorts_the_prior_is_that_of_the_global_batch(ranks):
    expected = sorted_steps(rows(2, 2, 8, 5), rows(4, 8, 5))
    assert float(expected[1][0]['prior_kl']) < float(expected[0][0]['prior_kl']) - 1e-3
    for step, (losses, grad, usage) in enumerate(expected):
        results = [steps[step] for steps in ranks['sorted']]
        for of_rank, _, usage_of_rank in results:
            for name, value in losses.items():
                torch.testing.assert_close(of_rank[name], value, msg=name)
            torch.testing.assert_close(usage_of_rank, usage)
            # To the bit, or a tie could be broken in two ways.
            assert torch.equal(usage_of_rank, results[0][2])
        mean = torch.stack([grad_of_rank for _, grad_of_rank, _ in results]).mean(0)
        torch.testing.assert_close(mean, grad)
    local = sorted_steps(*split_views(0, 2))
    assert not torch.allclose(local[0][2], expected[0][2]), 'the test sees local usage'


def make_net():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Linear(4, 6),
        PortableSyncBatchNorm(6),
        nn.GELU(),
        nn.Linear(6, 3),
        PortableSyncBatchNorm(3, momentum=None),
    ).double()


def batch_norm_step(rank, world_size, images):
    net = make_net()
    if images:
        net = PortableSyncBatchNorm(4).double()
    x = share(rows(6, 8, 4, 3, 2) if images else rows(6, 8, 4), world_size, rank)
    x = x.clone().requires_grad_()
    y = net(x)
    all_reduce_sum(y.pow(3).sum()).backward()
    grads = ddp_gradients(net)
    state = net.state_dict()
    return y.detach(), x.grad / world_size, grads, state


@pytest.mark.parametrize('images', [False, True])
def test_batch_norm_over_ranks_equals_stock_batch_norm(ranks, images):
    net = nn.BatchNorm2d(4).double() if images else make_net()
    if not images:
        for at in (1, 4):
            stock = nn.BatchNorm1d(net[at].num_features, momentum=net[at].momentum).double()
            stock.load_state_dict(net[at].state_dict())
            net[at] = stock
    x = (rows(6, 8, 4, 3, 2) if images else rows(6, 8, 4)).requires_grad_()
    y = net(x)
    y.pow(3).sum().backward()
    results = ranks['batch norm', images]
    torch.testing.assert_close(torch.cat([r[0] for r in results]), y.detach())
    torch.testing.assert_close(torch.cat([r[1] for r in results]), x.grad)
    for _, _, grads, state in results:
        for grad, param in zip(grads, net.parameters()):
            torch.testing.assert_close(grad, param.grad)
        assert state.keys() == net.state_dict().keys()
        for name, value in net.state_dict().items():
            torch.testing.assert_close(state[name], value, msg=name)


def test_batch_norm_alone_is_stock_batch_norm_to_the_bit():
    mine, stock = PortableSyncBatchNorm(4), nn.BatchNorm2d(4)
    x = rows(7, 5, 4, 3, 2).float()
    for train in (True, False):
        assert torch.equal(mine.train(train)(x), stock.train(train)(x))
    assert copy.deepcopy(mine).state_dict().keys() == stock.state_dict().keys()


def test_batch_norm_has_what_the_native_kernels_ask_of_a_module():
    """On CUDA torch's SyncBatchNorm runs on this module; in one process it is a plain one."""
    ours, plain = PortableSyncBatchNorm(3), nn.BatchNorm1d(3)
    x = torch.randn(6, 3)
    torch.testing.assert_close(nn.SyncBatchNorm.forward(ours, x), plain(x))
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(dict(ours.named_buffers())[name], buffer)
