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


def array(value):
    def write(path):
        with open(path, 'wb') as file:
            np.save(file, value, allow_pickle=True)

    return write


def archive(path):
    with open(path, 'wb') as file:
        np.savez(file, np.ones(3))


def cut(path):
    array(np.ones(3))(path)
    path.write_bytes(path.read_bytes()[:-4])


def text(content):
    return lambda path: path.write_text(content)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize(
    ('name', 'write', 'message'),
    [
        ('gone.txt', lambda path: None, 'the file does not exist'),
        ('folder.npy', lambda path: path.mkdir(), 'the file is a folder'),
        ('counts.json', text('[3, 1]'), "unknown extension '.json'"),
        ('words.txt', text('four\nnine\n'), 'four'),
        ('empty.npy', text(''), 'the file is empty'),
        ('empty.txt', text(''), r'shape \(0,\)'),
        ('text.npy', text('3\n1\n'), 'the file is not a whole .npy file'),
        ('half.npy', cut, 'the file is not a whole .npy file'),
        ('archive.npy', archive, 'the file is not a whole .npy file'),
        ('object.npy', array(np.array([{}, None], dtype=object)), 'the file holds objects'),
        ('complex.npy', array(np.array([1 + 1j, 2])), 'the numbers are complex'),
        ('names.npy', array(np.array(['a', 'b'])), 'could not convert'),
        ('table.csv', text('3 1\n2 2\n'), r'shape \(2, 2\)'),
        ('none.npy', array(np.zeros(0)), r'shape \(0,\)'),
        ('negative.txt', text('3\n-1\n2\n'), r'entry 1 \(counted from 0\) is -1'),
        ('zero.txt', text('3\n2\n0\n'), r'entry 2 \(counted from 0\) is 0'),
        ('nan.npy', array([np.nan, 1.0]), r'entry 0 \(counted from 0\) is nan'),
        ('infinite.txt', text('1\ninf\n'), r'entry 1 \(counted from 0\) is inf'),
    ],
)
def test_a_bad_file_in_one_line(tmp_path, name, write, message):
    path = tmp_path / name
    write(path)
    with pytest.raises(UserError, match=f'^EmpiricalPrior: .*{name}: .*{message}') as caught:
        EmpiricalPrior(path)
    assert '\n' not in str(caught.value) and 'expected one positive number a line' in str(
        caught.value
    )
    assert 'pickle' not in str(caught.value), "numpy's advice is not ours"


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        (5, r'counts of shape \(\)'),
        ([[3, 1]], r'counts of shape \(1, 2\)'),
        ([], r'counts of shape \(0,\)'),
        (['a', 'b'], r"counts=\['a', 'b'\]: could not convert"),
        ([1, None, {}], 'counts='),
        ([[1, 2], [3]], 'counts='),
    ],
)
def test_counts_that_are_no_list_of_numbers(counts, message):
    with pytest.raises(UserError, match=f'^EmpiricalPrior: {message}.*; expected a list of pos'):
        EmpiricalPrior(counts)


def test_a_file_of_another_length(tmp_path):
    (tmp_path / 'counts.txt').write_text('3\n1\n')
    with pytest.raises(UserError, match='2 class counts for 4 prototypes: set num_prototypes'):
        EmpiricalPrior(tmp_path / 'counts.txt', resample=False)(4)


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
