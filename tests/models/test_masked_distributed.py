"""Masked models on two and three ranks with different, unequal data equal one process."""

import pytest
import torch

from mmssl_prior.functional import batch_std
from tests.gloo import run_ranks
from tests.models.masked import DATA2VEC, MAE, build, images, samples
from tests.models.test_distributed import SPLITS, ddp_gradients, rows, share

CASES = dict(data2vec=DATA2VEC, mae=MAE)


def step(name, x, data):
    model = build(CASES[name]).double()
    losses = model(x, data, mode='loss')
    losses['loss'].backward()
    return model, losses


def on_rank(rank, world_size):
    results = dict(std=batch_std(share(rows(0, 8, 4), world_size, rank)))
    first = sum(SPLITS[world_size][:rank])
    data = samples(8)[first : first + SPLITS[world_size][rank]]
    for name in CASES:
        model, losses = step(name, share(images(8).double(), world_size, rank), data)
        for param in list(model.parameters()):
            if not param.requires_grad:
                param.grad = torch.zeros_like(param)
        ddp_gradients(model)
        grads = {k: p.grad for k, p in model.named_parameters() if p.requires_grad}
        results[name] = {k: v.detach() for k, v in losses.items()}, grads
    return results


@pytest.mark.parametrize('world_size', [2, 3])
def test_losses_and_gradients_of_ranks_are_those_of_one_process(world_size):
    ranks = run_ranks(world_size, on_rank, world_size)
    for name in CASES:
        model, expected = step(name, images(8).double(), samples(8))
        for result in ranks:
            losses, grads = result[name]
            for key, value in expected.items():
                torch.testing.assert_close(losses[key], value.detach(), msg=f'{name} {key}')
            for key, param in model.named_parameters():
                if param.requires_grad:
                    torch.testing.assert_close(grads[key], param.grad, msg=f'{name} {key}')
    for result in ranks:
        torch.testing.assert_close(result['std'], batch_std(rows(0, 8, 4)))
