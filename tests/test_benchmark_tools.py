"""The benchmarks of the training step run, and print what they promise; not how fast."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from tests.smoke import ROOT

DEMO = str(ROOT / 'configs/pmsn/pmsn_vit-mini_patterns-lt.py')


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools/benchmark'))
    loaded = set(sys.modules)
    yield importlib.import_module
    for name in {'step', 'scale', 'end_to_end', 'step_common', 'data', 'gpu_rows'} - loaded:
        sys.modules.pop(name, None)


def test_a_step_beside_the_plain_one(tool, tmp_path, capsys):
    path = tmp_path / 'step.json'
    options = ['vit-ti/32', '--batch-size', '2', '--views', '3', '--large', '96', '--focal', '64']
    options += ['--prototypes', '16', '--repeat', '1', '--warmup', '0', '--count']
    assert tool('step').main([*options, '--compare', '--json', str(path)]) == 0
    out = capsys.readouterr().out
    assert 'times as fast as the plain one' in out and 'of matmul peak' in out
    report = json.loads(path.read_text())
    for kind in ('plain', 'fast'):
        assert set(report[kind]['phases']) == {'forward', 'backward', 'optimizer', 'average'}
        assert 0 < report[kind]['share_of_peak'] < 2
    # The formula counts the gradient of the images, which nobody computes.
    counted = report['plain']['counted_gflops_per_image']
    assert counted == pytest.approx(report['plain']['gflops_per_image'], rel=0.06)
    assert counted < report['plain']['gflops_per_image']


def test_a_step_of_a_config(tool, tmp_path):
    path = tmp_path / 'demo.json'
    options = ['--batch-size', '2', '--repeat', '1', '--warmup', '0', '--json', str(path)]
    assert tool('step').main([DEMO, *options]) == 0
    assert json.loads(path.read_text())['views'] == [32, 32, 20, 20]


def test_what_cannot_be_timed(tool, capsys):
    assert tool('step').main([str(ROOT / 'configs/simclr/simclr_r50_in1k.py')]) == 1
    assert 'takes steps of MSN, this is GlobalSimCLR' in capsys.readouterr().err
    assert tool('end_to_end').main(['--steps', '1']) == 1
    assert '--steps must be at least 2' in capsys.readouterr().err


def test_rows_of_a_gpu(tool, tmp_path, monkeypatch, capsys):
    gpu_rows = tool('gpu_rows')
    assert gpu_rows.main(['--json', str(tmp_path)]) == 1
    assert 'these rows need a GPU' in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    calls = []

    def pretend(name, result):
        def main(options):
            args = tool(name).parse_args(options)  # refuses what it does not know
            calls.append((name, args))
            if getattr(args, 'compile', False):
                return 1  # no compiler, say
            if name != 'data':
                Path(args.json).write_text(json.dumps(dict(fast=result)))
            return 0

        monkeypatch.setattr(tool(name), 'main', main)

    pretend('step', dict(images_per_s=912.0))
    pretend('end_to_end', dict(waiting=0.031))
    pretend('data', None)
    assert gpu_rows.main(['--json', str(tmp_path), '--workers', '3']) == 0
    assert [name for name, _ in calls] == 5 * ['step'] + ['end_to_end', 'data']
    assert all(args.device == 'cuda' for _, args in calls)
    assert calls[-1][1].workers == calls[-2][1].workers == 3
    out = capsys.readouterr().out
    assert '800       912' in out and '2500       912' in out and '< 10%      3.1%' in out


def test_files_of_a_long_training_are_links(tool, tmp_path, monkeypatch):
    end_to_end = tool('end_to_end')
    monkeypatch.setattr(end_to_end, 'DISTINCT', 3)
    args = end_to_end.parse_args(['--batch-size', '1', '--steps', '2', '--workers', '1'])
    root = end_to_end.write_images(tmp_path / 'images', args)
    paths = sorted(root.iterdir())
    # Two steps to start, two that the worker is ahead, two that are timed.
    assert len(paths) == 6 and [path.is_symlink() for path in paths] == 3 * [False] + 3 * [True]
    assert paths[4].read_bytes() == paths[1].read_bytes()


@pytest.mark.slow
def test_scale(tool, tmp_path, capsys):
    options = ['vit-ti/32', '--batch-sizes', '2', '4', '--views', '2', '3', '--large', '64']
    options += ['--focal', '32', '--prototypes', '64', '128', '--head-batch', '4']
    options += ['--ranks', '1', '2', '--repeat', '1']
    options += ['--plot', str(tmp_path / 'scale.png'), '--json', str(tmp_path / 'scale.json')]
    assert tool('scale').main(options) == 0
    report = json.loads((tmp_path / 'scale.json').read_text())
    assert [row['collectives'] for row in report['ranks']] == [0, 9]
    # Sinkhorn 3 x K, p_bar and its gradient, int64 counts; a few scalars.
    assert report['ranks'][1]['kib_sent'] == pytest.approx((5 * 64 * 4 + 64 * 8) / 1024, rel=0.1)
    assert report['prototypes'][0]['peak_mib'] < report['prototypes'][1]['peak_mib']
    assert (tmp_path / 'scale.png').stat().st_size > 1000


@pytest.mark.slow
def test_end_to_end(tool, tmp_path, capsys):
    options = ['--arch', 'vit-ti/32', '--batch-size', '2', '--steps', '2', '--repeat', '1']
    options += ['--workers', '0', '--compare', '--json', str(tmp_path / 'all.json')]
    assert tool('end_to_end').main(options) == 0
    report = json.loads((tmp_path / 'all.json').read_text())
    assert 0 < report['fast']['waiting'] < 1 and report['ratio'] > 0
