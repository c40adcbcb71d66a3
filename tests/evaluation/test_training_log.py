import json

import pytest

from mmssl_prior.errors import UserError
from mmssl_prior.evaluation.training_log import read_training_log, train_time


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


def test_every_name_of_a_run_is_good(tmp_path):
    _write(tmp_path, 'a', [dict(loss=1.0, step=1)])
    _write(tmp_path, 'b', [dict(loss=2.0, step=2)])
    assert read_training_log(tmp_path)['loss'] == ([1, 2], [1.0, 2.0])
    assert read_training_log(tmp_path / 'b')['loss'] == ([2], [2.0])
    assert read_training_log(tmp_path / 'b/vis_data/scalars.json')['loss'] == ([2], [2.0])


def test_by_epoch(tmp_path):
    """Validation at epochs 5 and 10 of five iterations each, which are logged iterations, too."""
    train = [dict(loss=float(i), epoch=i // 5, iter=i, step=i) for i in (5, 10, 25, 50)]
    _write(tmp_path, 'a', [*train, dict(acc=0.5, time=9.0, step=5), dict(acc=0.6, step=10)])
    curves = read_training_log(tmp_path, by_epoch=True)
    assert curves['loss'] == ([1, 2, 5, 10], [5.0, 10.0, 25.0, 50.0])
    assert curves['acc'] == ([5, 10], [0.5, 0.6])
    assert 'time' not in curves, 'the time of a validation is not that of an iteration'


def test_train_time(tmp_path):
    def record(step, epoch, time):
        return dict(time=time, data_time=time / 4, epoch=epoch, iter=step, step=step)

    first = [record(1, 1, 9.0), record(2, 1, 1.0), record(3, 1, 3.0)]
    _write(tmp_path, 'a', [*first, record(4, 2, 7.0), record(5, 2, 5.0), dict(time=99.0, step=2)])
    # The resumed run did the second epoch again, of which one value was logged.
    _write(tmp_path, 'b', [record(4, 2, 6.0)])
    times = train_time(tmp_path)
    assert times.by_epoch == {1: 2.0, 2: 6.0}
    assert times.mean == pytest.approx((1 + 3 + 6) / 3)
    assert (times.spread, times.data_share, times.iterations) == (2.0, 0.25, 4)
    assert train_time(tmp_path, include_first=True).mean == pytest.approx((9 + 1 + 3 + 6) / 4)


def test_times_that_are_not_there(tmp_path):
    _write(tmp_path, 'a', [dict(loss=1.0, iter=1, step=1)])
    with pytest.raises(UserError, match='no times were logged; add an IterTimerHook'):
        train_time(tmp_path)
    with pytest.raises(UserError, match='gone: no such folder'):
        train_time(tmp_path / 'gone')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'[1]\n[2]\n', r'x\.json:1: not a log of MMEngine'),
        (b'\xff\xfe\x00', r'x\.json: not a text file'),
        (b'text', r'x\.json:1: not a line of JSON'),
    ],
)
def test_another_file(tmp_path, content, message):
    (tmp_path / 'x.json').write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_training_log(tmp_path / 'x.json')
