"""The table of runs: whole or not at all, each run once, and nothing lost on the way."""

import csv
import json
import math
import multiprocessing
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from mmssl_prior.errors import UserError
from mmssl_prior.study import Cell, Observation, Row, Run, add_rows, read_rows
from mmssl_prior.study.execution import progress
from mmssl_prior.study.plan import core_minutes, earlier_line, mixed_versions
from mmssl_prior.study.rows import by_run, observations, rows_to_report

ROW = Row(
    trained='t0',
    evaluated='e0',
    code='c',
    config='a.py',
    options="x=1 '+y=[1,2]'",
    environment='SEED=0',
    seed=0,
    core_minutes=1.5,
    date='2026-01-02',
    mmssl_prior='0.1.0',
    torch='2.9',
    mmengine='0.10',
    mmpretrain='1.3',
    device='CPU',
    metrics={'digits/knn10': 0.1 + 0.2, 'train/nmi': 1e-17},
)


def run(evaluated, trained='t0', options=ROW.options, seed=0):
    words, environment = tuple(shlex.split(options)), (('SEED', str(seed)),)
    return Run(Path('a.py'), 'a.py', words, environment, seed, None, trained, evaluated, 'c')


def test_rows_come_back_as_they_were(tmp_path):
    table = tmp_path / 'deep' / 'runs.csv'
    other = replace(ROW, evaluated='e1', metrics={'digits/linear': math.inf, 'a': 0.0})
    assert add_rows(table, [ROW]) == 1
    assert add_rows(table, [other]) == 1
    assert read_rows(table) == [ROW, other]
    # What one of them lacks is an empty field, no zero.
    with table.open(newline='') as file:
        lines = list(csv.DictReader(file))
    assert [line['digits/linear'] for line in lines] == ['', 'inf']
    records = json.loads((tmp_path / 'deep/runs.json').read_text())
    assert records[0]['metrics'] == ROW.metrics and records[1]['metrics']['digits/linear'] is None
    assert read_rows(tmp_path / 'none.csv') == []


def test_the_first_row_of_a_run_stays(tmp_path):
    table = tmp_path / 'runs.csv'
    add_rows(table, [ROW])
    before = table.read_bytes()
    assert add_rows(table, [replace(ROW, core_minutes=9.0)]) == 0
    assert table.read_bytes() == before


def _add(table, number):
    for i in range(10):
        add_rows(table, [replace(ROW, evaluated=f'{number}-{i}', metrics={f'm{number}': 1.0})])


def test_several_processes_lose_no_row(tmp_path):
    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=_add, args=(tmp_path / 'r.csv', n)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    keys = {row.evaluated for row in read_rows(tmp_path / 'r.csv')}
    assert keys == {f'{number}-{i}' for number in range(3) for i in range(10)}


def test_a_write_that_fails_leaves_the_table(tmp_path, monkeypatch):
    table = tmp_path / 'runs.csv'
    add_rows(table, [ROW])
    before = table.read_bytes()

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(UserError, match=r'runs\.csv cannot be written: No space left'):
        add_rows(table, [replace(ROW, evaluated='e1')])
    assert table.read_bytes() == before


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a,b\n1,2\n', r'runs\.csv is no table of runs: it has no column trained'),
        (None, r'runs\.csv is no table of runs: could not convert'),
    ],
)
def test_another_table_is_refused(tmp_path, text, message):
    table = tmp_path / 'runs.csv'
    add_rows(table, [ROW])
    table.write_text(table.read_text().replace(',1.5,', ',soon,') if text is None else text)
    with pytest.raises(UserError, match=message):
        read_rows(table)


def test_a_stale_row_is_counted_and_not_used():
    stale, other = replace(ROW, evaluated='old'), replace(ROW, evaluated='x', options='z=3')
    runs = [run('e0'), run('e1', seed=1)]
    rows = [stale, other]
    state = progress(runs, rows)
    assert (state.done, state.missing, state.stale) == ([], runs, [stale])
    cells = [Cell(dict(prior=name), one) for name, one in zip('ab', runs)]
    assert observations(cells, by_run(rows)) == []
    # The current row makes up for it; the old one stays aside.
    state = progress(runs, [*rows, ROW])
    assert (state.done, state.missing, state.stale) == (runs[:1], runs[1:], [stale])
    found = observations(cells, by_run([*rows, ROW]))
    assert found == [Observation(dict(prior='a'), 0, ROW.metrics)]


def test_two_cells_may_be_of_one_run():
    cells = [Cell(dict(prior=name), run('e0')) for name in 'ab']
    assert [one.factors['prior'] for one in observations(cells, by_run([ROW]))] == ['a', 'b']


def test_a_page_shows_the_last_code_of_a_config_and_never_two():
    runs = [run('e0'), run('e1', seed=1)]
    cells = [Cell(dict(prior=name), one) for name, one in zip('ab', runs)]
    seed = dict(environment='SEED=1', seed=1)
    oldest = [
        replace(ROW, evaluated='o0', code='o'),
        replace(ROW, evaluated='o1', code='o', **seed),
    ]
    # Evaluated twice: the later row counts. Of seed 1 there is none of this code.
    older = [replace(ROW, evaluated=key, code='p', date='2026-02-01') for key in ('p0', 'p1')]
    assert rows_to_report(cells, []) == {} and earlier_line({}) == ''
    found = rows_to_report(cells, oldest)
    assert found == dict(zip(('e0', 'e1'), oldest))
    assert [one.seed for one in observations(cells, found)] == [0, 1]
    assert rows_to_report(cells, [*oldest, *older]) == dict(e0=older[1])
    assert earlier_line(dict(e0=older[1])) == (
        'Of earlier code, settings or evaluation: the runs of `a.py` (code p, 2026-02-01).'
    )
    # A single current row leaves all others of its config aside.
    current = replace(ROW, evaluated='e1', **seed)
    found = rows_to_report(cells, [*oldest, current, *older])
    assert found == dict(e1=current) and earlier_line(found) == ''


def test_cost_is_the_median_of_the_same_config_and_overrides():
    rows = [
        replace(ROW, evaluated=str(i), core_minutes=minutes, seed=i)
        for i, minutes in enumerate((1.0, 8.0, 3.0))
    ]
    rows.append(replace(ROW, evaluated='far', options='x=2', core_minutes=100.0))
    wanted = run('new', seed=7)
    assert core_minutes(wanted, rows) == 3.0
    assert core_minutes(wanted, rows[3:]) is None


def test_versions_that_are_mixed_are_named():
    assert mixed_versions([ROW, replace(ROW, seed=1)]) == ''
    line = mixed_versions([ROW, replace(ROW, torch='2.4')])
    assert line == 'rows of different torch (2.4, 2.9) stand side by side'
