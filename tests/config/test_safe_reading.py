"""Checkpoints of others are read without running their code; our own are read whole."""

import argparse
import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule

from mmssl_prior.config import check_checkpoints, read_checkpoint, safe_reading
from mmssl_prior.errors import UserError
from mmssl_prior.evaluation.encoder_source import read_source


class Calls:
    """Pickled, it calls a function when it is read."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def save(path, legacy=False, **more):
    content = dict(state_dict=dict(w=torch.ones(2)), **more)
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return str(path)


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize(
    ('harm', 'name'),
    [
        (Calls(os.system, 'echo ran'), 'system'),
        (Calls(eval, 'print("ran")'), 'eval'),
        (Calls(getattr, torch.Size, 'count'), 'getattr'),
        (Calls(np.dtype, object), 'object'),
        # Bytes of it would be taken for addresses of objects.
        (np.array([None], object), 'array of type'),
        (np.zeros(1, [('a', 'O')]), 'array of type'),
        (np.array, 'numpy.array'),
        (argparse.ArgumentParser, 'ArgumentParser'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_what_could_run_code_is_refused(tmp_path, capfd, harm, name, legacy):
    path = save(tmp_path / 'w.pth', legacy, harm=harm)
    match = rf'^checkpoint .*w.pth: refused, as it holds more than weights .*{name}.*; if you trust'
    with pytest.raises(UserError, match=match) as caught:
        read_checkpoint(path)
    assert '\n' not in str(caught.value) and 'ran' not in capfd.readouterr().out


def test_the_remedy_works(tmp_path):
    path = save(tmp_path / 'w.pth', harm=Calls(len, 'abc'))
    with pytest.raises(UserError, match='refused'):
        read_checkpoint(path)
    torch.save(torch.load(path, weights_only=False)['state_dict'], tmp_path / 'new.pth')
    assert read_checkpoint(str(tmp_path / 'new.pth')).keys() == {'w'}


@pytest.mark.parametrize('legacy', [False, True])
def test_what_mmengine_saves_is_read_whole(tmp_path, legacy):
    """Log buffers, NumPy's numbers and arrays, namespaces of arguments."""
    buffer = HistoryBuffer([1.0, 3.0], [1, 1])
    big_endian = np.arange(3, dtype='>i4')
    path = save(
        tmp_path / 'w.pth',
        legacy,
        hub=dict(log_scalars={'train/loss': buffer}),
        rng=('MT19937', np.arange(624, dtype=np.uint32), 5),
        scalars=(np.float32(2.5), np.int64(-1), np.bool_(True)),
        arrays=[big_endian, np.ones((2, 3), order='F'), np.array(['ab', 'c'])],
        args=argparse.Namespace(lr=0.1),
        meta=dict(seed=3),
    )
    content = read_checkpoint(path)
    read = content['hub']['log_scalars']['train/loss']
    assert type(read) is HistoryBuffer and read.mean() == 2 and read.current() == 3
    assert read.data[0].tolist() == [1.0, 3.0]
    np.testing.assert_array_equal(content['rng'][1], np.arange(624))
    assert content['scalars'] == (2.5, -1, True)
    for read, saved in zip(content['arrays'], [big_endian, np.ones((2, 3)), np.array(['ab', 'c'])]):
        np.testing.assert_array_equal(read, saved)
        assert read.dtype.kind == saved.dtype.kind
        assert type(pickle.loads(pickle.dumps(read))) is np.ndarray
    assert content['args'].lr == 0.1


def test_whoever_reads(tmp_path):
    """Libraries that ask torch for an unsafe reading do not get it; afterwards all is as before."""
    path = save(tmp_path / 'w.pth', harm=Calls(len, 'abc'))
    before = set(torch.serialization.get_safe_globals())
    with safe_reading(), pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=False)
    assert torch.load(path, weights_only=False)['harm'] == 3
    assert set(torch.serialization.get_safe_globals()) == before


def test_training_and_evaluation_refuse_before_anything_is_loaded(tmp_path, capfd):
    """Checkpoints that ``init_cfg``, ``load_from`` and ``--resume`` name, and files of timm."""
    path = save(tmp_path / 'w.pth', harm=Calls(os.system, 'echo ran'))
    model = BaseModule(init_cfg=dict(type='Pretrained', checkpoint=path))
    model.line = torch.nn.Linear(1, 1)
    cfg = Config(dict(work_dir=str(tmp_path)))
    for build in (
        lambda: check_checkpoints(model, cfg),
        lambda: check_checkpoints(torch.nn.Linear(1, 1), Config(dict(cfg, load_from=path))),
        lambda: check_checkpoints(
            torch.nn.Linear(1, 1), Config(dict(cfg, load_from=path, resume=True))
        ),
        lambda: read_source(path),
        lambda: read_source(f'timm:resnet18={path}').weights(),
    ):
        with pytest.raises(UserError, match='w.pth: (refused|not readable as weights of timm)'):
            build()
    assert 'ran' not in capfd.readouterr().out


def test_settings_of_the_environment_come_back(tmp_path, monkeypatch):
    path = save(tmp_path / 'w.pth', harm=Calls(len, 'abc'))
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    with pytest.raises(UserError, match='refused'):
        read_checkpoint(path)
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


def test_files_that_are_no_checkpoint_get_no_advice_to_read_them_unsafely(tmp_path):
    path = tmp_path / 'w.pth'
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path)
    with pytest.raises(
        UserError, match='w.pth: (not a readable checkpoint|holds a Recursive)'
    ) as e:
        read_checkpoint(str(path))
    path.write_bytes(pickle.dumps([1, 2], protocol=5))
    with pytest.raises(UserError, match='w.pth: (not a readable checkpoint|holds a list)') as f:
        read_checkpoint(str(path))
    assert not any('weights_only' in str(error.value).split('(')[-1] for error in (e, f))
