"""The tidy table of a study, written and read."""

import json
import math

import pytest

from mmssl_prior.errors import UserError
from mmssl_prior.study.observation import Observation
from mmssl_prior.study.tidy import read_tidy, write_tidy

RUNS = [
    Observation(dict(method='msn, long', tau='0.5'), 10, {'b': 0.1 + 0.2}),
    Observation(dict(method='msn, long', tau='0.5'), 9, {'b': math.nan, 'a/c': 1}),
    Observation(dict(method='Δ', tau='0.25'), 3, {}),
]


def test_one_row_a_run_by_hand(tmp_path):
    table, records = write_tidy(tmp_path / 'new', RUNS)
    assert table.read_bytes().decode() == (
        'method,tau,seed,a/c,b\n'
        '"msn, long",0.5,9,1.0,nan\n'
        '"msn, long",0.5,10,,0.30000000000000004\n'
        'Δ,0.25,3,,\n'
    )
    assert json.loads(records.read_text()) == [
        {'method': 'msn, long', 'tau': '0.5', 'seed': 9, 'a/c': 1.0, 'b': None},
        {'method': 'msn, long', 'tau': '0.5', 'seed': 10, 'b': 0.1 + 0.2},
        {'method': 'Δ', 'tau': '0.25', 'seed': 3},
    ]


def test_reads_what_it_wrote_to_the_last_bit(tmp_path):
    read = read_tidy(write_tidy(tmp_path, RUNS[::-1])[0])
    assert [read[1], read[2]] == [RUNS[0], RUNS[2]]
    assert math.isnan(read[0].metrics.pop('b'))
    assert read[0] == RUNS[1]._replace(metrics={'a/c': 1.0})


def test_order_of_the_runs_changes_no_byte(tmp_path):
    first = [path.read_bytes() for path in write_tidy(tmp_path / 'a', RUNS)]
    assert first == [path.read_bytes() for path in write_tidy(tmp_path / 'b', RUNS[::-1])]


def test_no_runs_make_a_table_of_no_rows(tmp_path):
    assert read_tidy(write_tidy(tmp_path, [])[0]) == []


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UserError, match=r"same factors: \['size'\] beside \['method', 'tau'\]"):
        write_tidy(tmp_path, [*RUNS, Observation(dict(size='1'), 0, {})])
    with pytest.raises(UserError, match='none.csv cannot be read'):
        read_tidy(tmp_path / 'none.csv')
    for text in ('', 'a,b\n1,2\n', 'a,seed,b\nx,1,yes\n', 'a,seed\nx\n'):
        (tmp_path / 'bad.csv').write_text(text)
        with pytest.raises(UserError, match='bad.csv is no table of a study'):
            read_tidy(tmp_path / 'bad.csv')
