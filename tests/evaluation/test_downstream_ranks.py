"""Two gloo ranks evaluate as one process does."""

import json

import pytest
from mmengine.registry import init_default_scope

from mmssl_prior.evaluation.downstream import evaluate, present_tasks
from mmssl_prior.evaluation.encoder_source import read_source
from mmssl_prior.evaluation.one_task import Evaluation
from mmssl_prior.evaluation.tasks import select_tasks
from tests.evaluation.checkpoints import save_checkpoint
from tests.gloo import run_ranks


def evaluated(rank, checkpoint, out):
    init_default_scope('mmpretrain')
    settings = Evaluation(out, workers=0, batch_size=50)
    present = present_tasks(select_tasks(['digits']), settings)
    lines = []
    first = evaluate([read_source(checkpoint)], present, settings, said=lines.append)
    again = evaluate([read_source(checkpoint)], present, settings, said=lines.append)
    return first, again, lines


def test_ranks_share_the_work_and_agree(tmp_path):
    checkpoint = str(tmp_path / 'run' / 'epoch_3.pth')
    save_checkpoint(tmp_path / 'run' / 'epoch_3.pth')
    alone, _, _ = evaluated(0, checkpoint, tmp_path / 'alone')
    ranks = run_ranks(2, evaluated, checkpoint, tmp_path / 'ranks')
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
