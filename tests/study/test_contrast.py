"""Contrasts: which runs stand in which row, and what a study file may say."""

import math

import pytest

from mmssl_prior.errors import UserError
from mmssl_prior.study.comparison import compare, differenced, narrowed
from mmssl_prior.study.contrast import read_contrasts
from tests.study.grids import PLAN, RUNS, run, study

METRIC = 'patterns/linear'


def rows_of(runs=RUNS, plan=PLAN, **entry):
    entry = dict(title='T', factor='batches', baseline='many') | entry
    (contrast,) = read_contrasts(study(contrasts=[entry]))
    return contrast, compare(contrast, runs, plan)


def test_a_row_for_each_level_in_each_cell():
    contrast, rows = rows_of()
    assert [(row.cell, row.level, row.runs, row.planned) for row in rows] == [
        (('msn',), 'many', (0, 1, 2), 3),
        (('msn',), 'few', (0, 1, 2), 3),
        (('simclr',), 'many', (0, 1, 2), 3),
        (('simclr',), 'few', (0, 1), 3),
    ]
    assert rows[0].means[METRIC].value == pytest.approx(0.51)
    assert rows[0].differences == rows[2].differences == {}
    assert rows[1].differences[METRIC].value == pytest.approx(-0.03)
    assert rows[3].pairs[METRIC] == pytest.approx({0: 0.01, 1: 0.01})


def test_runs_in_any_order_give_the_same_rows():
    assert rows_of(RUNS[::-1], PLAN[::-1]) == rows_of()


def test_within_restricts_other_factors_and_the_factor_itself():
    contrast, rows = rows_of(within=dict(method='simclr'))
    assert contrast.fixed == dict(method='simclr')
    assert [row.cell for row in rows] == [(), ()]
    assert rows[1].differences[METRIC].value == pytest.approx(0.01)
    contrast, rows = rows_of(within=dict(batches=['many']), baseline=None)
    assert [(row.cell, row.level) for row in rows] == [(('msn',), 'many'), (('simclr',), 'many')]


def test_differences_of_differences_by_hand():
    """Few less many: msn loses 1, 2, 6 points, simclr gains 1 and 1; seed 2 of it is missing."""
    entry = dict(
        title='T', factor='method', baseline='simclr', difference=dict(batches=['few', 'many'])
    )
    (contrast,) = read_contrasts(study(contrasts=[entry]))
    runs, planned = differenced(contrast, RUNS, PLAN)
    contrast = narrowed(contrast, runs, planned)
    assert contrast.fixed == dict(batches='few - many')
    msn, simclr = compare(contrast, runs, planned)
    assert (msn.runs, msn.planned, simclr.runs, simclr.planned) == ((0, 1, 2), 3, (0, 1), 3)
    assert msn.values[METRIC] == pytest.approx({0: -0.01, 1: -0.02, 2: -0.06})
    assert simclr.means[METRIC].value == pytest.approx(0.01)
    assert msn.pairs[METRIC] == pytest.approx({0: -0.02, 1: -0.03})
    assert msn.differences[METRIC].p is not None
    # Nothing else is touched.
    contrast, _ = rows_of()
    assert differenced(contrast, RUNS, PLAN) == (RUNS, PLAN)


def test_without_tests_there_are_intervals_alone():
    tested, shown = rows_of()[1], rows_of(tests=False)[1]
    for row, other in zip(tested, shown):
        for metric, found in other.differences.items():
            assert found == row.differences[metric]._replace(p=None, adjusted=None)


def test_levels_may_be_numbers():
    entry = dict(title='T', factor='tau', baseline=0.5, within=dict(size=[8]))
    of = study(factors=dict(tau=(0.25, 0.5), size=(4, 8)), contrasts=[entry])
    (contrast,) = read_contrasts(of)
    assert (contrast.levels, contrast.baseline) == (('0.25', '0.5'), '0.5')
    assert contrast.fixed == dict(size='8')


def test_tests_of_all_rows_and_metrics_are_one_family():
    """Of four: the least p is multiplied by four, the next by three, and none gets smaller."""
    runs = [
        run(method, batches, seed, 0.5 + offset[seed] * few, other=offset[seed] ** 2 * few)
        for method, offset in (('msn', (0.01, 0.012, 0.014)), ('simclr', (0.02, 0.03, 0.05)))
        for batches, few in (('many', 0), ('few', 1))
        for seed in range(3)
    ]
    contrast, rows = rows_of(runs, runs, metrics=[METRIC, 'other'])
    found = [row.differences[name] for row in (rows[1], rows[3]) for name in (METRIC, 'other')]
    ranked = sorted(found, key=lambda one: one.p)
    larger = [(4 - rank) * one.p for rank, one in enumerate(ranked)]
    assert ranked[3].p < 0.3
    for rank, one in enumerate(ranked):
        assert one.adjusted == pytest.approx(max(larger[: rank + 1]))


def test_values_that_are_no_numbers_are_missing():
    runs = [*RUNS[:2], RUNS[2]._replace(metrics={METRIC: math.nan}), *RUNS[3:]]
    _, rows = rows_of(runs)
    assert rows[0].runs == (0, 1, 2)
    assert rows[0].means[METRIC].n == 2
    assert rows[1].differences[METRIC].n == 2


def test_what_is_neither_planned_nor_there_has_no_row():
    of_msn = [one for one in RUNS if one.factors['method'] == 'msn']
    _, rows = rows_of(of_msn, of_msn)
    assert [row.cell for row in rows] == [('msn',), ('msn',)]
    _, rows = rows_of(of_msn, PLAN)
    assert [(row.level, row.runs, row.planned) for row in rows[2:]] == [
        ('many', (), 3),
        ('few', (), 3),
    ]


def test_cells_of_a_single_level_are_no_comparison():
    """Of a second grid, with many classes only and another method."""
    other = [run('swav', 'many', seed, 0.3) for seed in range(3)]
    facts = study(factors=dict(method=['msn', 'swav', 'simclr'], batches=['many', 'few', 'one']))
    (contrast,) = read_contrasts(facts)
    narrow = narrowed(contrast, RUNS, [*PLAN, *other])
    assert narrow.levels == ('many', 'few')
    assert narrow.others == dict(method=('msn', 'simclr'))
    rows = compare(contrast, [*RUNS, *other], PLAN)
    assert [row.cell for row in rows] == [('msn',), ('msn',), ('simclr',), ('simclr',)]
    assert rows == compare(narrow, [*RUNS, *other], PLAN)
    # Means alone are no comparison.
    means = narrowed(contrast._replace(baseline=None), RUNS, [*PLAN, *other])
    assert means.others == dict(method=('msn', 'swav', 'simclr'))


def test_a_study_without_contrasts_shows_means():
    (contrast,) = read_contrasts(study(contrasts=None, metrics=None))
    assert contrast.metrics == {}
    assert (contrast.factor, contrast.baseline) == ('method', None)
    rows = compare(contrast, RUNS, PLAN)
    assert len(rows) == 4 and not any(row.differences for row in rows)


@pytest.mark.parametrize(
    'entry, message',
    [
        (dict(factor='batches'), r'study batches: contrasts\[0\] needs title'),
        (dict(title='T', factor='size'), "factor 'size' is none of method, batches"),
        (dict(title='T', factor='batches', baseline='no'), "baseline 'no' .* many, few"),
        (
            dict(title='T', factor='batches', baseline='many', within=dict(batches='few')),
            "baseline 'many' is none of the levels of batches: few",
        ),
        (dict(title='T', factor='batches', within=dict(a='b')), "within names 'a'; the factors"),
        (
            dict(title='T', factor='batches', within=dict(method=['msn', 'b'])),
            "within method names 'b'; its levels are msn, simclr",
        ),
        (dict(title='T', factor='batches', base='few'), "has no key 'base'; the keys are title"),
        (dict(title='T', factor='method', difference='few'), 'difference is a factor with two lev'),
        (dict(title='T', factor='method', difference=dict(batches=['few'])), 'two levels'),
        (dict(title='T', factor='method', difference=dict(batches=3)), 'two levels'),
        (dict(title='T', factor='method', difference=dict(batches=['few', 'few'])), 'two levels'),
        (
            dict(title='T', factor='batches', difference=dict(batches=['few', 'many'])),
            "difference names 'batches'; it must be a factor that is neither compared nor in",
        ),
        (
            dict(title='T', factor='method', difference=dict(batches=['few', 'all'])),
            "difference batches names 'all'; its levels are many, few",
        ),
        (dict(title='T', factor='batches', metrics='a/b'), "metrics is a list.*'a/b'"),
    ],
)
def test_mistakes_in_a_contrast_are_named(entry, message):
    with pytest.raises(UserError, match=message):
        read_contrasts(study(contrasts=[entry]))


def test_mistakes_in_metrics_and_contrasts_are_named():
    for metrics in (['a/b'], {'a/b': 1}):
        with pytest.raises(UserError, match='study batches: metrics is a dict of label by name'):
            read_contrasts(study(metrics=metrics))
    for contrasts in (dict(title='T', factor='batches'), ['batches']):
        with pytest.raises(UserError, match='study batches: contrasts is a list such as'):
            read_contrasts(study(contrasts=contrasts))


def test_titles_name_figures_and_must_differ():
    entry = dict(title='T', factor='batches')
    with pytest.raises(UserError, match="two contrasts have the title 'T'"):
        read_contrasts(study(contrasts=[entry, entry]))
