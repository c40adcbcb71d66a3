"""Patch subsets: exact sizes, every position equally often, own generator."""

import pytest
import torch

from mmssl_prior.functional import patches_to_keep, take_patches


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ('num_patches', 'rate', 'kept'),
    [(196, 0.15, 166), (196, 0.7, 58), (64, 0.0, 64), (20, 0.15, 17), (36, 0.5, 18), (10, 0.3, 7)],
)
def test_number_of_patches(num_patches, rate, kept):
    keep = patches_to_keep(num_patches, rate, generator())
    assert keep.tolist() == sorted(set(keep.tolist()))
    assert len(keep) == kept and 0 <= keep.min() and keep.max() < num_patches
    assert patches_to_keep(num_patches, rate, generator(), 3).shape == (3, kept)


@pytest.mark.parametrize('num_samples', [None, 4])
def test_every_position_equally_often(num_samples):
    draws, counts = 4000, torch.zeros(16)
    rng = generator(1)
    for _ in range(draws if num_samples is None else draws // num_samples):
        keep = patches_to_keep(16, 0.25, rng, num_samples)
        counts += torch.bincount(keep.flatten(), minlength=16)
    # Binomial(4000, 0.75): standard deviation 27; five of them.
    assert bool(((counts - 3000).abs() < 140).all()), counts


def test_samples_differ_and_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    keep = patches_to_keep(64, 0.5, generator(), 8)
    assert len({tuple(row) for row in keep.tolist()}) == 8
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(keep, patches_to_keep(64, 0.5, generator(), 8))


@pytest.mark.parametrize('rate', [-0.1, 1.0, 1.5])
def test_bad_rate(rate):
    with pytest.raises(ValueError, match='drop_rate'):
        patches_to_keep(16, rate, generator())


def test_no_patch_left():
    with pytest.raises(ValueError, match='leave a patch'):
        patches_to_keep(1, 0.5, generator())


@pytest.mark.parametrize('prefix', [0, 1, 3])
def test_taking_patches_against_a_loop(prefix):
    tokens = torch.randn(2, prefix + 6, 4, generator=generator())
    shared, rows = torch.tensor([1, 5]), torch.tensor([[0, 2, 3], [5, 4, 1]])
    for keep in (shared, rows):
        expected = torch.stack(
            [
                torch.stack([*t[:prefix], *(t[prefix + i] for i in row.tolist())])
                for t, row in zip(tokens, keep.expand(2, -1))
            ]
        )
        assert torch.equal(take_patches(tokens, keep, prefix), expected)
