"""``tools/convert.py`` as its users run it."""

import os
import re
import subprocess
import sys

import pytest
import torch

from mmssl_prior.cli import convert
from mmssl_prior.conversion import FORMATS, read_encoder
from mmssl_prior.evaluation.encoder import build_encoder
from mmssl_prior.evaluation.encoder_source import read_source
from tests.conversion.networks import HEADS, close, images, released_file, timm_vit
from tests.smoke import ROOT


@pytest.fixture
def release(tmp_path):
    path = tmp_path / 'vits16_800ep.pth.tar'
    return path, released_file(path)[0]['target_encoder']


@pytest.fixture
def here(capsys):
    def main(*arguments):
        status = convert.main([*map(str, arguments)])
        return status, *capsys.readouterr()

    return main


def test_from_the_command_line(release, tmp_path):
    path, network = release
    out = tmp_path / 'msn.pth'
    result = subprocess.run(
        [
            sys.executable,
            'tools/convert.py',
            path,
            out,
            '--to',
            'mmpretrain',
            '--heads',
            str(HEADS),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert 'ViT of width 48, 2 blocks of 4 heads, patches of 16 px' in lines[0]
    assert lines[1] == f'{out}: written as mmpretrain; features differ by at most 0.0e+00'
    assert 'CC BY-NC 4.0' in lines[2] and 'no commercial use' in lines[2]
    close(read_encoder(str(out)).model()(images()), network.vit(images()))


@pytest.mark.parametrize('to', ['msn', 'mmpretrain'])
def test_the_evaluation_takes_what_was_converted(here, release, tmp_path, to):
    """Without a config: it lies in the file."""
    path, network = release
    status, out, _ = here(path, tmp_path / 'w.pth', '--to', to, '--heads', HEADS)
    assert status == 0 and 'note' not in out
    encoder = build_encoder(read_source(str(tmp_path / 'w.pth')))
    close(encoder(images()), network.vit(images()))


def test_mistakes_are_one_line(here, release, tmp_path):
    path, _ = release

    def refuses(message, *arguments):
        status, _, err = here(*arguments)
        assert status == 1 and re.fullmatch(rf'error: .*{message}.*\n', err), err

    refuses('gone.pth: no such file', tmp_path / 'gone.pth', tmp_path / 'o', '--to', 'timm')
    refuses('--network trained', path, tmp_path / 'o', '--to', 'timm', '--network', 'trained')
    refuses('exists: name another', path, path, '--to', 'timm', '--heads', HEADS)
    refuses('counterpart of plain ResNets', path, tmp_path / 'o', '--to', 'torchvision')
    with pytest.raises(SystemExit):
        here(path, tmp_path / 'o', '--to', 'other')
    with pytest.raises(SystemExit):
        here(path, tmp_path / 'o', '--to', 'timm', '--heads', 0)


def test_notes_and_a_licence_that_nobody_stated(here, tmp_path):
    torch.save(timm_vit().state_dict(), tmp_path / 'w.pth')
    status, out, _ = here(tmp_path / 'w.pth', tmp_path / 'o.pth', '--to', 'timm')
    assert status == 0
    assert 'note: the file does not say how many heads there are: 1' in out
    assert 'licence of these weights: not stated in the source' in out


def test_config_of_a_checkpoint_without_one(here, tmp_path):
    config = tmp_path / 'config.py'
    arch = dict(embed_dims=48, num_layers=2, num_heads=4, feedforward_channels=96)
    backbone = dict(type='VisionTransformer', arch=arch, img_size=224, patch_size=16)
    model = dict(type='ImageClassifier', backbone=backbone)
    config.write_text(f"default_scope = 'mmpretrain'\nmodel = {model!r}\n")
    torch.save(timm_vit().state_dict(), tmp_path / 'w.pth')
    encoder = read_encoder(str(tmp_path / 'w.pth'), heads=HEADS)
    torch.save({f'backbone.{k}': v for k, v in encoder.state.items()}, tmp_path / 'plain.pth')
    status, out, _ = here(
        tmp_path / 'plain.pth', tmp_path / 'o.pth', '--to', 'timm', '--config', config
    )
    assert status == 0 and '2 blocks of 4 heads' in out and 'how many heads' not in out


def test_every_format_is_documented():
    text = (ROOT / 'docs' / 'checkpoints.md').read_text()
    assert all(f'`{name}`' in text for name in FORMATS)
