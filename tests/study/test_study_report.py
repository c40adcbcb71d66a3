"""The part of the results page that is one study."""

import pytest

from mmssl_prior.errors import UserError
from mmssl_prior.study.report import write_report
from tests.study.grids import PLAN, RUNS, run, study

START, END = '<!-- study: batches -->', '<!-- end of batches -->'


def test_a_new_page_by_hand(tmp_path):
    paths = write_report(study(), RUNS, tmp_path / 'docs', PLAN)
    image = 'images/results-batches-few-classes.png'
    assert paths == [tmp_path / 'docs/results.md', tmp_path / 'docs' / image]
    assert all(path.stat().st_size for path in paths)
    lines = paths[0].read_text().splitlines()
    assert lines[:14] == [
        '# Results',
        '',
        START,
        '## Batches of few classes',
        '',
        'Do they hurt?',
        '',
        '11 of 12 runs have finished. Missing: batches few, method simclr, seed 2.',
        '',
        '### Few classes',
        '',
        '| method | batches | n | Class, linear (%) | Δ |',
        '| --- | --- | ---: | ---: | ---: |',
        '| msn | many | 3 | 51.0 ± 2.5 |  |',
    ]
    assert f'![Few classes]({image})' in lines
    assert lines[-1] == END
    assert sum('same sign' in line for line in lines) == 1


def test_twice_is_once(tmp_path):
    paths = write_report(study(), RUNS, tmp_path, PLAN)
    before = [path.read_bytes() for path in paths]
    assert write_report(study(), RUNS, tmp_path, PLAN) == paths
    assert [path.read_bytes() for path in paths] == before


def test_prose_outside_stays_and_the_part_is_replaced(tmp_path):
    page = tmp_path / 'results.md'
    head, tail = '# What came out\r\n\nOf a hand. ', '\n\nBelow, <!-- study: other -->\n  \n'
    page.write_bytes(f'{head}{START}\nold numbers\n{END}{tail}'.encode())
    write_report(study(), RUNS, tmp_path, PLAN)
    text = page.read_bytes().decode()
    assert text.startswith(f'{head}{START}\n## Batches')
    assert text.endswith(f'\n{END}{tail}')
    assert 'old numbers' not in text


def test_another_study_is_appended(tmp_path):
    write_report(study(), RUNS, tmp_path, PLAN)
    first = (tmp_path / 'results.md').read_text()
    write_report(study(name='batches-2', title='Again'), RUNS, tmp_path, PLAN)
    text = (tmp_path / 'results.md').read_text()
    assert text.startswith(first + '\n<!-- study: batches-2 -->\n## Again\n')
    write_report(study(), RUNS, tmp_path, PLAN)
    assert (tmp_path / 'results.md').read_text() == text


@pytest.mark.parametrize(
    'text', [START, END, f'{END}{START}', f'{START}{END}{START}{END}'], ids=range(4)
)
def test_half_a_part_is_not_guessed_at(tmp_path, text):
    (tmp_path / 'results.md').write_text(text)
    with pytest.raises(UserError, match='results.md: the lines .* once each, in this order'):
        write_report(study(), RUNS, tmp_path, PLAN)
    assert [path.name for path in tmp_path.iterdir()] == ['results.md']
    assert (tmp_path / 'results.md').read_text() == text


def test_a_page_of_another_encoding_is_left_alone(tmp_path):
    page = tmp_path / 'results.md'
    page.write_bytes('# Ergebnisse für'.encode('latin-1'))
    with pytest.raises(UserError, match='results.md is not UTF-8'):
        write_report(study(), RUNS, tmp_path, PLAN)
    assert page.read_bytes().decode('latin-1') == '# Ergebnisse für'


def test_without_any_run_there_is_a_table_and_no_figure(tmp_path):
    (page,) = write_report(study(), [], tmp_path, PLAN)
    text = page.read_text()
    assert '0 of 12 runs have finished. Missing: batches many, method msn, seed 0; ' in text
    assert '| msn | few | 0 of 3 | - | - |' in text
    many = [run('msn', 'many', seed) for seed in range(20)]
    write_report(study(), [], tmp_path, many)
    assert 'seed 11; and 8 more.' in page.read_text()


def test_a_contrast_that_compares_nothing_is_said(tmp_path):
    many = [one for one in RUNS if one.factors['batches'] == 'many']
    (page,) = write_report(study(), many, tmp_path, many)
    assert 'No part of the grid has two levels of batches: no comparison.' in page.read_text()


def test_a_metric_that_no_run_has_is_said(tmp_path):
    metrics = {'patterns/linear': 'Class', 'paterns/knn10': 'k-NN'}
    page, _ = write_report(study(metrics=metrics), RUNS, tmp_path, PLAN)
    assert '\nNo run has `paterns/knn10`.\n' in page.read_text()


def test_without_a_list_every_metric_is_shown(tmp_path):
    runs = [one._replace(metrics=one.metrics | {'b/rankme': one.seed + 3.0}) for one in RUNS]
    page, _ = write_report(study(metrics={}), runs, tmp_path, runs)
    assert '| n | b/rankme | Δ | patterns/linear (%) | Δ |' in page.read_text()


def test_runs_outside_the_grid_or_twice_are_refused(tmp_path):
    with pytest.raises(UserError, match='run batches other, method msn, seed 0 is not in its grid'):
        write_report(study(), [run('msn', 'other', 0, 0.5)], tmp_path, PLAN)
    with pytest.raises(UserError, match='two runs batches many, method msn, seed 0'):
        write_report(study(), [*RUNS, RUNS[0]], tmp_path, PLAN)
