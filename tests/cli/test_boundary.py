"""What the user sees of an exception: one line, or the traceback of a bug."""

import pytest
import torch
from mmengine.optim import LinearLR
from mmengine.registry import Registry
from torch.utils.data import DataLoader, Dataset

from mmssl_prior.cli.boundary import BUILDERS, CONVERTERS, LOADERS, describe, run_guarded
from mmssl_prior.errors import UserError

ITEMS = Registry('boundary items')


@ITEMS.register_module()
class Validating:
    """Not of this package: only what its constructor raises itself counts."""

    def __init__(self, width, mode='ok'):
        if mode == 'assert':
            raise AssertionError(f'mode {mode} is not known')
        if mode == 'value':
            raise ValueError('width must be positive')
        if mode == 'deep':
            self.deep()
        if mode == 'bug':
            [].pop()

    def deep(self):
        raise ValueError('deep down')


@ITEMS.register_module()
class Inheriting(Validating):
    def __init__(self, width, mode='ok'):
        super().__init__(width, mode)
        # Another object's constructor is no check of these arguments.
        Validating(width, 'value')


class Undecodable(UserError):
    """As the package's own errors of one kind of file."""


class Unlucky(Dataset):
    def __init__(self, kind):
        self.kind = kind

    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise self.kind('too many images cannot be read: a.jpg, b.jpg')


def caught(function):
    try:
        function()
    except Exception as error:
        return describe(error)
    raise AssertionError('nothing was raised')


def build(**cfg):
    return caught(lambda: ITEMS.build(cfg))


def test_user_error_is_one_line():
    def fail():
        raise UserError('first\n   second')

    assert caught(fail) == 'first second'


@pytest.mark.parametrize('kind', [UserError, Undecodable])
def test_user_error_of_a_worker_process(kind):
    """The loader wraps the message in a traceback of the worker."""
    loader = DataLoader(Unlucky(kind), num_workers=1)
    assert caught(lambda: next(iter(loader))) == 'too many images cannot be read: a.jpg, b.jpg'


def test_bug_keeps_its_traceback():
    assert caught(lambda: 1 / 0) is None
    assert caught(lambda: int('x')) is None
    assert caught(lambda: torch.zeros(2) @ torch.zeros(3)) is None


def again(outer, inner, **kwargs):
    """What is shown of an exception raised while another is handled."""

    def fail():
        try:
            raise inner
        except Exception:
            if kwargs:
                raise outer from kwargs['cause']
            raise outer  # noqa: B904

    return caught(fail)


def test_bug_while_a_user_error_is_handled():
    assert again(ZeroDivisionError('oh'), UserError('x')) is None


def test_suppressed_context_is_not_shown():
    assert again(ZeroDivisionError('oh'), UserError('x'), cause=None) is None
    assert again(RuntimeError('oh'), RuntimeError('x'), cause=None) is None


def test_cause_is_shown():
    assert again(RuntimeError('oh'), KeyError('x'), cause=UserError('the cause')) == 'the cause'


def test_error_raised_anew_with_its_own_type():
    """MMEngine's upstream version puts the name of the class before the message this way."""

    def fail():
        try:
            ITEMS.build(dict(type='Validating', width=0, mode='value'))
        except Exception as error:
            raise type(error)(f'class Validating in some.py: {error}')  # noqa: B904

    assert caught(fail) == 'Validating: width must be positive'


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (dict(type='Validating', width=0, mode='value'), 'Validating: width must be positive'),
        (dict(type='Validating', width=0, mode='assert'), 'Validating: mode assert is not known'),
        (dict(type='Validating', width=0, mode='deep'), None),
        (dict(type='Validating', width=0, mode='bug'), None),
        (dict(type='Inheriting', width=0, mode='assert'), 'Inheriting: mode assert is not known'),
        (dict(type='Inheriting', width=0), None),
    ],
)
def test_constructor(cfg, message):
    assert build(**cfg) == message


def test_call_that_does_not_fit():
    assert 'unexpected keyword argument' in build(type='Validating', width=1, depth=2)
    assert "missing 1 required positional argument: 'width'" in build(type='Validating')


def test_name_that_is_not_registered():
    assert 'Nothing is not in the' in build(type='Nothing')


def test_mistake_below_a_constructor_of_this_package():
    from mmpretrain.registry import MODELS

    cfg = dict(type='PMSNHead', prior=dict(type='PowerLawPrior', exponent=-1))
    assert caught(lambda: MODELS.build(cfg)) == (
        'PowerLawPrior: exponent must be a finite number >= 0, got -1'
    )


def test_frames_of_mmengine_are_as_the_boundary_knows_them():
    """It reads them by name, and an upstream rename would hide every message of a constructor."""
    from mmengine.registry import build_functions
    from mmengine.runner import Runner

    codes = {name: getattr(build_functions, name).__code__ for name in BUILDERS}
    assert 'obj_cls' in codes['build_from_cfg'].co_varnames
    assert 'scheduler_cls' in codes['build_scheduler_from_cfg'].co_varnames
    assert all(callable(getattr(Runner, name)) for name in LOADERS)
    assert all(callable(getattr(LinearLR, name)) for name in CONVERTERS)


class TestExitStatus:
    def run(self, error, capsys):
        def body():
            if error is not None:
                raise error

        status = run_guarded(body, lambda: 'interrupted; go on with: X')
        return status, capsys.readouterr().err

    def test_success(self, capsys):
        assert self.run(None, capsys) == (0, '')

    def test_user_error(self, capsys):
        assert self.run(UserError('no such\nthing'), capsys) == (1, 'error: no such thing\n')

    def test_interrupt(self, capsys):
        assert self.run(KeyboardInterrupt(), capsys) == (130, 'interrupted; go on with: X\n')

    def test_interrupt_that_a_bare_except_caught(self, capsys):
        """MMEngine formats the config with one, whenever it saves a checkpoint."""

        def body():
            try:
                raise KeyboardInterrupt
            except:  # noqa: E722
                raise SyntaxError('Failed to format the config file')  # noqa: B904

        assert run_guarded(body, lambda: 'go on with: X') == 130
        assert capsys.readouterr().err == 'go on with: X\n'

    def test_bug(self, capsys):
        status, text = self.run(ZeroDivisionError('oh'), capsys)
        assert status == 1
        assert text.startswith('Traceback') and text.endswith('ZeroDivisionError: oh\n')

    def test_rank_is_named(self, capsys, monkeypatch):
        monkeypatch.setenv('RANK', '1')
        monkeypatch.setenv('WORLD_SIZE', '2')
        assert self.run(UserError('x'), capsys) == (1, 'error (rank 1): x\n')
        assert self.run(KeyboardInterrupt(), capsys) == (130, '')
