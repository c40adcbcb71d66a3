import json

import pytest

from mmssl_prior.errors import UserError
from mmssl_prior.evaluation.training_log import read_training_log


def _write(work_dir, timestamp, records, tail=''):
    file = work_dir / timestamp / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text('\n'.join(map(json.dumps, records)) + '\n' + tail)


def test_one_run(tmp_path):
    _write(
        tmp_path,
        '20200101_000000',
        [
            dict(loss=3.0, lr=0.1, epoch=1, iter=10, step=10),
            dict(knn_top1=0.25, step=1),
            dict(loss=2.0, lr=0.1, epoch=2, iter=20, step=20),
            dict(knn_top1=0.5, step=2),
        ],
    )
    curves = read_training_log(tmp_path)
    assert curves['loss'] == ([10, 20], [3.0, 2.0])
    assert curves['knn_top1'] == ([1, 2], [0.25, 0.5])
    assert curves['epoch'] == ([10, 20], [1.0, 2.0])


def test_resumed_run_replaces_what_it_redid(tmp_path):
    _write(
        tmp_path,
        '20200101_000000',
        [dict(loss=float(step), step=step) for step in (10, 20, 30, 40)],
        '{"loss": 5.0, "st',
    )
    _write(tmp_path, '20200102_000000', [dict(loss=-25.0, step=25), dict(loss=-35.0, step=35)])
    assert read_training_log(tmp_path)['loss'] == ([10, 20, 25, 35], [10.0, 20.0, -25.0, -35.0])


def test_other_values_are_left_out(tmp_path):
    _write(tmp_path, 'a', [dict(loss=1.0, name='x', step=1), dict(loss=2.0), dict(step=3)])
    assert read_training_log(tmp_path) == dict(loss=([1], [1.0]))


def test_no_log(tmp_path):
    with pytest.raises(UserError, match='no .*scalars.json with logged values'):
        read_training_log(tmp_path)


def test_malformed_line_is_named(tmp_path):
    _write(tmp_path, 'a', [dict(loss=1.0, step=1)], 'oops\n{"loss": 1.0, "step": 2}\n')
    with pytest.raises(UserError, match=r'scalars.json:2: not a line of JSON'):
        read_training_log(tmp_path)
