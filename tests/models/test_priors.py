"""Registered priors: building from configs, files and errors; the formulas are in functional."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import TASK_UTILS

from mmssl_prior.errors import UserError
from mmssl_prior.functional import power_law_prior
from mmssl_prior.models import EmpiricalPrior, PowerLawPrior, Prior, UniformPrior


def test_built_from_configs():
    assert torch.equal(TASK_UTILS.build(dict(type='UniformPrior'))(4), UniformPrior()(4))
    prior = TASK_UTILS.build(dict(type='PowerLawPrior', exponent=0.5))
    torch.testing.assert_close(prior(6), power_law_prior(6, 0.5))
    assert repr(prior) == 'PowerLawPrior(exponent=0.5)'


def test_default_exponent_is_the_papers():
    assert PowerLawPrior().exponent == 0.25


def test_bad_exponent_fails_when_built():
    with pytest.raises(ValueError, match='exponent'):
        PowerLawPrior(-1)


@pytest.mark.parametrize('suffix', ['.txt', '.npy'])
def test_counts_from_a_file(tmp_path, suffix):
    path = tmp_path / f'counts{suffix}'
    np.save(path, [4, 9, 1]) if suffix == '.npy' else path.write_text('4\n9\n1\n')
    torch.testing.assert_close(EmpiricalPrior(str(path))(3), EmpiricalPrior([4, 9, 1])(3))


def test_one_count_in_a_file(tmp_path):
    (tmp_path / 'one.txt').write_text('7')
    assert EmpiricalPrior(tmp_path / 'one.txt')(2).tolist() == [0.5, 0.5]


@pytest.mark.parametrize('content', ['four\nnine\n', None])
def test_bad_file_is_named(tmp_path, content):
    path = tmp_path / 'counts.txt'
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match='counts.txt'):
        EmpiricalPrior(path)


def test_without_counts_it_says_what_to_do():
    prior = EmpiricalPrior()
    assert not prior.is_fitted
    with pytest.raises(UserError, match='FitPriorHook'):
        prior(4)
    prior.fit([3, 1])
    assert prior.is_fitted and prior(2).tolist() == [0.75, 0.25]


def test_an_own_prior_is_checked():

    class Broken(Prior):
        def probabilities(self, num_prototypes):
            return torch.zeros(num_prototypes)

    with pytest.raises(ValueError, match='entry 0 is 0'):
        Broken()(3)
