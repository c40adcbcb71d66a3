"""Two gloo ranks evaluate as one process does, and as the command line calls them."""

import json

import pytest
from mmengine.registry import init_default_scope

from mmssl_prior.cli import evaluate as command_line
from mmssl_prior.cli import probe_by_config
from mmssl_prior.config import load_config
from mmssl_prior.evaluation.downstream import evaluate, present_tasks
from mmssl_prior.evaluation.encoder_source import read_source
from mmssl_prior.evaluation.one_task import Evaluation
from mmssl_prior.evaluation.tasks import select_tasks
from tests.evaluation.checkpoints import save_checkpoint
from tests.gloo import run_ranks
from tests.miniatures import make_kitti


def evaluated(rank, checkpoint, out):
    init_default_scope('mmpretrain')
    settings = Evaluation(out, workers=0, batch_size=50)
    present = present_tasks(select_tasks(['digits']), settings)
    lines = []
    first = evaluate([read_source(checkpoint)], present, settings, said=lines.append)
    again = evaluate([read_source(checkpoint)], present, settings, said=lines.append)
    return first, again, lines


def one_epoch(name):
    cfg = load_config(name)
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    return cfg


def evaluated_twice(rank, checkpoint, out, data):
    """By the function, and by the command line with VISSL's probe."""
    results = evaluated(rank, checkpoint, out)
    probe_by_config.load_config = one_epoch
    # It would end the process.
    command_line.leave = lambda status: status
    command = [checkpoint, '--tasks', 'kitti-dist', '--data-root', str(data), '--workers', '0']
    command += ['--protocol', 'vissl', '--out', f'{out}-vissl', '--launcher', 'pytorch']
    return results, command_line.main(command)


def test_ranks_share_the_work_and_agree(tmp_path):
    checkpoint = str(tmp_path / 'run' / 'epoch_3.pth')
    save_checkpoint(tmp_path / 'run' / 'epoch_3.pth')
    alone, _, _ = evaluated(0, checkpoint, tmp_path / 'alone')
    make_kitti(tmp_path / 'data/kitti')
    called = run_ranks(2, evaluated_twice, checkpoint, tmp_path / 'ranks', tmp_path / 'data')
    assert [status for _, status in called] == [0, 0]
    vissl = json.loads((tmp_path / 'ranks-vissl/results.json').read_text())
    linear = vissl['results'][0]['scores']['linear']
    assert linear['head'] in ('cls', 'cls_bn') and not vissl['failed']
    ranks = [results for results, _ in called]
    scores = alone['results'][0]['scores']
    for first, again, _ in ranks:
        assert first['results'] == again['results'] == ranks[0][0]['results']
        found = first['results'][0]['scores']
        assert found['knn'] == pytest.approx(scores['knn'])
        assert found['rankme'] == pytest.approx(scores['rankme'], rel=1e-4)
        assert found['linear']['top1'] == pytest.approx(scores['linear']['top1'], abs=0.02)
        for kind, entries in scores['low_shot'].items():
            for entry, other in zip(entries, found['low_shot'][kind]):
                assert other['mean'] == pytest.approx(entry['mean'], abs=0.02)
    # The first rank alone speaks and writes.
    assert ranks[0][2] and not ranks[1][2]
    assert json.loads((tmp_path / 'ranks/results.json').read_text()) == ranks[0][1]
