"""Tables of a contrast, whole, with numbers by hand."""

import math

import pytest

from mmssl_prior.study.comparison import compare
from mmssl_prior.study.contrast import read_contrasts
from mmssl_prior.study.tables import contrast_legend, contrast_table, table_of_tests
from tests.study.grids import PLAN, RUNS, run, study


def made(runs=RUNS, plan=PLAN, **changes):
    (contrast,) = read_contrasts(study(**changes))
    rows = compare(contrast, runs, plan)
    return contrast, rows


def test_table_by_hand():
    """Means 51 and 48 of msn, 42 and 42 of simclr.

    Halves are 4.303 s / sqrt(3): s = 1 gives 2.5, sqrt(3) 4.3, 2 gives 5.0;
    for two values 12.706 s / sqrt(2), s = sqrt(2), 12.7. Differences of msn
    are -1, -2, -6, s^2 = 7, half 6.6; those of simclr are equal.
    """
    assert contrast_table(*made()) == [
        '| method | batches | n | Class, linear (%) | Δ |',
        '| --- | --- | ---: | ---: | ---: |',
        '| msn | many | 3 | 51.0 ± 2.5 |  |',
        '| msn | few | 3 | 48.0 ± 4.3 | -3.0 [-9.6, +3.6] |',
        '| simclr | many | 3 | 42.0 ± 5.0 |  |',
        '| simclr | few | 2 of 3 | 42.0 ± 12.7 | +1.0 (all equal) |',
    ]


def test_tests_by_hand():
    """t = 3 / sqrt(7 / 3) = 1.964 with two degrees of freedom: p = 1 - t / sqrt(2 + t^2)."""
    t = 3 / math.sqrt(7 / 3)
    p = f'{1 - t / math.sqrt(2 + t * t):.3f}'
    assert table_of_tests(*made()) == [
        '| method | batches | metric | Δ | pairs | same sign | p | Holm |',
        '| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |',
        f'| msn | few | Class, linear (%) | -3.0 | 3 | 3 | {p} | {p} |',
        '| simclr | few | Class, linear (%) | +1.0 | 2 | 2 | - | - |',
    ]
    assert p == '0.188'


def test_legend_counts_the_tests_that_were_made():
    legend = contrast_legend(*made())
    assert 'to batches = many' in legend
    assert 'over the 1 test of this table' in legend
    assert 'All equal: without a spread there is no interval and no test.' in legend


def test_legend_says_what_was_subtracted_and_what_was_not_tested():
    entry = dict(
        title='T', factor='method', baseline='msn', difference=dict(batches=['few', 'many'])
    )
    assert contrast_legend(*made(contrasts=[entry])).startswith(
        'Of batches = few less batches = many on the same seed: Mean ± half'
    )
    entry = dict(title='T', factor='batches', baseline='many', tests=False)
    assert contrast_legend(*made(contrasts=[entry])).endswith('Nothing is tested here.')
    assert not table_of_tests(*made(contrasts=[entry]))


def test_single_pairs_are_no_tests():
    runs = [run('msn', batches, 0) for batches in ('many', 'few')]
    assert not table_of_tests(*made(runs, runs))
    assert contrast_legend(*made(runs, runs)).endswith('No test: each needs two pairs that differ.')


def test_clear_differences_are_bold_and_no_others():
    """Differences 10.0, 10.1, 10.2 points of msn, t = 175; -10, 0, 10.3 of simclr."""
    few = {'msn': (0.600, 0.601, 0.602), 'simclr': (0.4, 0.5, 0.603)}
    runs = [
        run(method, batches, seed, few[method][seed] if batches == 'few' else 0.5)
        for method in few
        for batches in ('many', 'few')
        for seed in range(3)
    ]
    table = contrast_table(*made(runs, runs))
    assert table[3].endswith('| **+10.1 [+9.9, +10.3]** |')
    assert table[5].endswith('| +0.1 [-25.1, +25.3] |')
    assert table[2].endswith('| 50.0 (all equal) |  |')


def test_what_is_bold_depends_on_the_family():
    """Differences 2, 3, 4 points: t = 5.2, p = 0.035; 0.070 beside another such test."""
    runs = [
        run(method, batches, seed, 0.5 + (0.02 + 0.01 * seed) * (batches == 'few'))
        for method in ('msn', 'simclr')
        for batches in ('many', 'few')
        for seed in range(3)
    ]
    contrast, rows = made(runs, runs)
    assert contrast_table(contrast, rows)[3].endswith('| +3.0 [+0.5, +5.5] |')
    assert table_of_tests(contrast, rows)[2].endswith('| 0.035 | 0.070 |')
    entry = dict(title='T', factor='batches', baseline='many', within=dict(method='msn'))
    alone = contrast_table(*made(runs, runs, contrasts=[entry]))
    assert alone[3].endswith('| **+3.0 [+0.5, +5.5]** |')


def test_missing_runs_and_values_are_said():
    """Of simclr nothing, of msn with few classes one of three, whose partner lacks the metric."""
    runs = [run('msn', 'many', 0), run('msn', 'many', 1, 0.5), run('msn', 'few', 1, 0.625)]
    assert contrast_table(*made(runs))[2:] == [
        '| msn | many | 2 of 3 | 50.0 (n = 1) |  |',
        '| msn | few | 1 of 3 | 62.5 | +12.5 (1 pair) |',
        '| simclr | many | 0 of 3 | - |  |',
        '| simclr | few | 0 of 3 | - | - |',
    ]
    without_baseline = [run('msn', 'few', 1, 0.625)]
    assert contrast_table(*made(without_baseline))[3] == '| msn | few | 1 of 3 | 62.5 | - |'


def test_digits_follow_the_intervals():
    """Accuracies of a table have the same; numbers that are none have their own, unscaled.

    Halves of means are 4.303 s / sqrt(3) with s = 0.1 points, 250 and 0.0001:
    0.25, 621 and 0.00025. Differences are all equal.
    """
    runs = [
        run(
            'msn',
            batches,
            seed,
            0.5 + 0.001 * seed,
            **{'patterns/knn10': 0.5 + 0.001 * seed, 'images': 9e3 + 250 * seed, 'kl': 1e-4 * seed},
        )
        for batches in ('many', 'few')
        for seed in range(3)
    ]
    labels = {'patterns/linear': 'a', 'patterns/knn10': 'b', 'images': 'c', 'kl': 'd|e'}
    table = contrast_table(*made(runs, runs, metrics=labels))
    assert table[0] == r'| method | batches | n | a (%) | Δ | b (%) | Δ | c | Δ | d\|e | Δ |'
    assert table[2] == (
        '| msn | many | 3 | 50.10 ± 0.25 |  | 50.10 ± 0.25 |  | 9250 ± 621 |  | '
        '0.00010 ± 0.00025 |  |'
    )
    assert table[3].endswith(
        '| 50.10 ± 0.25 | 0.00 (all equal) | 50.10 ± 0.25 | 0.00 (all equal) '
        '| 9250 ± 621 | 0 (all equal) | 0.00010 ± 0.00025 | 0.00000 (all equal) |'
    )


@pytest.mark.parametrize('value, text', [(35.26, '35.3'), (0.01234, '0.0123'), (1234.5, '1234')])
def test_single_runs_have_three_digits(value, text):
    runs = [run('msn', 'many', 0, rankme=value)]
    plan = [*runs, run('msn', 'few', 0)]
    table = contrast_table(*made(runs, plan, metrics={'rankme': 'RankMe'}))
    assert table[2] == f'| msn | many | 1 | {text} |  |'


def test_interval_ends_that_round_to_zero_keep_their_side():
    """Of three with s = 1 point the half is 2.48 points, and so is the mean, less 0.02."""
    half = 4.302653 / math.sqrt(3)
    few = [0.5 + 0.01 * (half - 1.02), 0.5 + 0.01 * (half - 0.02), 0.5 + 0.01 * (half + 0.98)]
    runs = [run('msn', 'many', seed, 0.5) for seed in range(3)]
    runs += [run('msn', 'few', seed, value) for seed, value in enumerate(few)]
    assert contrast_table(*made(runs, runs))[3].endswith('| +2.5 [-0.0, +4.9] |')


def test_means_alone_without_a_baseline():
    contrasts = [dict(title='T', factor='batches', within=dict(method='msn'))]
    contrast, rows = made(contrasts=contrasts)
    assert contrast_table(contrast, rows) == [
        '| batches | n | Class, linear (%) |',
        '| --- | ---: | ---: |',
        '| many | 3 | 51.0 ± 2.5 |',
        '| few | 3 | 48.0 ± 4.3 |',
    ]
    assert table_of_tests(contrast, rows) == []
    assert contrast_legend(contrast, rows) == (
        'Mean ± half of its 95% interval (Student) over n seeds.'
    )
