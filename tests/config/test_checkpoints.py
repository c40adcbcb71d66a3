"""Checkpoints that are missing, unreadable, or of another model."""

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from torch import nn

from mmssl_prior.config import check_checkpoint, check_checkpoints
from mmssl_prior.config.checkpoints import check_resume
from mmssl_prior.errors import UserError


class Net(BaseModule):
    def __init__(self, width=4, init_cfg=None):
        super().__init__(init_cfg)
        self.line = nn.Linear(width, 1)


class Wrapper(BaseModule):
    def __init__(self, **kwargs):
        super().__init__()
        self.backbone = Net(**kwargs)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / 'w.pth'
    torch.save({'state_dict': Wrapper().state_dict()}, file)
    return file


def test_fits(path):
    check_checkpoint(Wrapper(), path)
    check_checkpoint(Net(), path, prefix='backbone.')
    check_checkpoint(Net(), path, prefix='backbone')


def test_plain_state_dict_and_wrapped_keys(tmp_path):
    file = tmp_path / 'w.pth'
    torch.save({f'module.{key}': value for key, value in Net().state_dict().items()}, file)
    check_checkpoint(Net(), file)


def test_one_matching_key_is_enough(path):
    """A new head, or another image size, is an ordinary use."""
    model = Wrapper()
    model.backbone.line.weight = nn.Parameter(torch.zeros(1, 9))
    check_checkpoint(model, path)


@pytest.mark.parametrize('model', [Net(), Wrapper(width=5)], ids=['names', 'shapes'])
def test_nothing_fits(path, model):
    if isinstance(model, Wrapper):
        model.backbone.line.bias = nn.Parameter(torch.zeros(3))
    message = r'no key fits the model.*the checkpoint has backbone\.line.*the model expects .*line'
    with pytest.raises(UserError, match=message):
        check_checkpoint(model, path)


def test_wrong_prefix_names_both_sides(path):
    message = r"under the prefix 'encoder\.'.*has backbone\.line.*expects encoder\.line"
    with pytest.raises(UserError, match=message):
        check_checkpoint(Net(), path, prefix='encoder')


def test_missing(tmp_path):
    with pytest.raises(UserError, match=r'gone\.pth: no such file'):
        check_checkpoint(Net(), tmp_path / 'gone.pth')


@pytest.mark.parametrize('content', [b'', b'not a checkpoint', None], ids=['empty', 'text', 'cut'])
def test_unreadable(tmp_path, path, content):
    file = tmp_path / 'bad.pth'
    file.write_bytes(path.read_bytes()[:400] if content is None else content)
    with pytest.raises(UserError, match=r'bad\.pth: not a readable checkpoint'):
        check_checkpoint(Net(), file)


def test_no_state_dict(tmp_path):
    file = tmp_path / 'w.pth'
    torch.save([1, 2], file)
    with pytest.raises(UserError, match='holds a list'):
        check_checkpoint(Net(), file)
    torch.save({'epoch': 3}, file)
    with pytest.raises(UserError, match='the checkpoint has no tensors'):
        check_checkpoint(Net(), file)


@pytest.fixture
def warned(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmssl_prior.config.checkpoints.print_log',
        lambda message, logger, level: lines.append(message),
    )
    return lines


def test_partial_fit_warns_in_one_line(path, warned):
    check_checkpoint(Wrapper(), path)
    assert warned == []
    check_checkpoint(Wrapper(width=9), path, what='load_from')
    assert warned == [
        f'load_from {path}: 1 of 2 keys do not fit the model by name and shape and are not '
        'loaded: backbone.line.weight'
    ]


def test_keys_beside_the_prefix_are_not_counted(tmp_path, warned):
    file = tmp_path / 'w.pth'
    state = {'head.weight': torch.zeros(2), 'backbone.other': torch.zeros(2)}
    torch.save({**Wrapper().state_dict(), **state}, file)
    check_checkpoint(Net(), file, prefix='backbone')
    (line,) = warned
    assert "1 of 3 keys under the prefix 'backbone.' do not fit" in line


class TestResume:
    """MMEngine goes on with random weights where the checkpoint lacks some."""

    def test_whole(self, path):
        check_resume(Wrapper(), path)

    def test_more_in_the_checkpoint_is_no_harm(self, tmp_path):
        file = tmp_path / 'w.pth'
        torch.save({'state_dict': {**Net().state_dict(), 'more': torch.zeros(1)}}, file)
        check_resume(Net(), file)

    def test_missing_and_differing(self, path):
        model = Wrapper(width=9)
        model.neck = nn.Linear(2, 3)
        message = (
            r'^resume .*w\.pth: 3 weights of the model are missing in the checkpoint or of another '
            r'shape there: backbone\.line\.weight \(1, 9\) \(\(1, 4\)\), '
            r'neck\.weight \(3, 2\) \(missing\), neck\.bias \(3,\) \(missing\); resume with'
        )
        with pytest.raises(UserError, match=message):
            check_resume(model, path)

    def test_at_most_five_are_named(self, path):
        model = Wrapper()
        model.neck = nn.Sequential(*(nn.Linear(1, 1) for _ in range(4)))
        with pytest.raises(UserError, match=r'8 weights of the model') as caught:
            check_resume(model, path)
        assert str(caught.value).count('(missing)') == 5
        assert '(missing), ...; ' in str(caught.value)


class TestOfConfig:
    """The checkpoints that a run will load."""

    def test_resume_wants_all_where_load_from_wants_some(self, path, tmp_path):
        model = Wrapper()
        model.neck = nn.Linear(2, 3)
        options = dict(load_from=str(path), work_dir=str(tmp_path))
        check_checkpoints(model, Config(options))
        with pytest.raises(UserError, match=r'^resume .*neck\.weight'):
            check_checkpoints(model, Config(dict(resume=True, **options)))
        (tmp_path / 'last_checkpoint').write_text(str(path))
        with pytest.raises(UserError, match=r'^resume .*neck\.weight'):
            check_checkpoints(model, Config(dict(resume=True, work_dir=str(tmp_path))))

    def test_nothing_to_load(self, tmp_path):
        check_checkpoints(Wrapper(), Config(dict(load_from=None, work_dir=str(tmp_path))))

    def test_load_from(self, path, tmp_path):
        check_checkpoints(Wrapper(), Config(dict(load_from=str(path), work_dir=str(tmp_path))))
        with pytest.raises(UserError, match='^load_from .*no key fits'):
            check_checkpoints(Net(), Config(dict(load_from=str(path), work_dir=str(tmp_path))))

    def test_resume_finds_the_last(self, tmp_path):
        cfg = Config(dict(resume=True, load_from=None, work_dir=str(tmp_path)))
        check_checkpoints(Wrapper(), cfg)
        (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'gone.pth'))
        with pytest.raises(UserError, match=r'^--resume: .*gone\.pth is missing, and none '):
            check_checkpoints(Wrapper(), cfg)

    def test_pretrained_backbone(self, path):
        def model(prefix):
            init = dict(type='Pretrained', checkpoint=str(path), prefix=prefix)
            return Wrapper(init_cfg=init)

        check_checkpoints(model('backbone.'), Config(dict()))
        with pytest.raises(UserError, match=r'^init_cfg of backbone: .*under the prefix'):
            check_checkpoints(model('encoder.'), Config(dict()))
