"""Figures of contrasts: what is drawn, and the same bytes twice."""

import pytest
from matplotlib.figure import Figure

from mmssl_prior.study.comparison import compare
from mmssl_prior.study.contrast import read_contrasts
from mmssl_prior.study.figures import plot_contrast
from mmssl_prior.study.observation import Observation
from tests.study.grids import PLAN, RUNS, study


@pytest.fixture
def saved(monkeypatch):
    """Figures in the order in which they were saved."""
    figures = []
    savefig = Figure.savefig
    monkeypatch.setattr(
        Figure,
        'savefig',
        lambda self, *args, **kwargs: (figures.append(self), savefig(self, *args, **kwargs))[1],
    )
    return figures


def draw(path, runs=RUNS, **changes):
    (contrast,) = read_contrasts(study(**changes))
    plot_contrast(path, contrast, compare(contrast, runs, PLAN if runs is RUNS else runs))


def drawn(axis):
    """Heights of all that is drawn, but for what is drawn nowhere."""
    return [[float(y) for y in line.get_ydata()] for line in axis.lines if len(line.get_ydata())]


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    draw(tmp_path / 'a.png')
    draw(tmp_path / 'b.png', RUNS[::-1])
    assert (tmp_path / 'a.png').read_bytes() == (tmp_path / 'b.png').read_bytes()
    changed = RUNS[0]._replace(metrics={'patterns/linear': 0.55})
    draw(tmp_path / 'c.png', [changed, *RUNS[1:]])
    assert (tmp_path / 'a.png').read_bytes() != (tmp_path / 'c.png').read_bytes()


@pytest.mark.parametrize(('panels', 'columns'), [(1, 1), (3, 1), (4, 2), (8, 3)])
def test_many_panels_stand_side_by_side(tmp_path, saved, panels, columns):
    """Of forty levels each panel would be as wide as the page."""
    levels = [f'l{i}' for i in range(40)]
    names = [f'm{i}' for i in range(panels)]
    runs = [
        Observation(dict(batches=level), seed, {name: float(seed) for name in names})
        for level in levels
        for seed in range(2)
    ]
    entry = dict(title='T', factor='batches', baseline='l0', metrics=names)
    draw(tmp_path / 'a.png', runs, factors=dict(batches=levels), contrasts=[entry])
    grid = saved[0].axes[0].get_gridspec()
    assert grid.ncols == columns and saved[0].get_figwidth() == pytest.approx(13)


def test_every_run_mean_and_pair_is_drawn(tmp_path, saved):
    draw(tmp_path / 'a.png')
    values, pairs = saved[0].axes
    lines = drawn(values)
    for dots in ([50, 51, 52], [49, 49, 46], [40, 42, 44], [41, 43]):
        assert any(line == pytest.approx(dots) for line in lines), dots
    for mean in (51, 48, 42):
        assert any(line == pytest.approx([mean]) for line in lines), mean
    # Runs of one seed are joined.
    for joined in ([50, 49], [51, 49], [52, 46], [40, 41], [42, 43], [44]):
        assert any(line == pytest.approx(joined) for line in lines), joined
    lines = drawn(pairs)
    for dots in ([-1, -2, -6], [1, 1], [-3], [1]):
        assert any(line == pytest.approx(dots) for line in lines), dots
    assert values.get_title(loc='left') == 'Class, linear (%)'
    assert [text.get_text() for text in pairs.get_xticklabels()] == ['msn', 'simclr']
    assert [text.get_text() for text in saved[0].legends[0].get_texts()] == ['many', 'few']


def test_the_interval_of_two_does_not_squeeze_the_runs(tmp_path, saved):
    """Half of it is 12.7 points, where the runs lie between 40 and 52."""
    draw(tmp_path / 'a.png')
    low, high = saved[0].axes[0].get_ylim()
    assert low < 40 and 52 < high
    assert high - low < 2 * 12


def of_tau(*levels):
    runs = [
        Observation(dict(tau=tau, method=method), seed, {'kl': i + 0.1 * seed})
        for i, tau in enumerate(levels)
        for method in ('msn', 'simclr')
        for seed in range(2)
    ]
    return runs, dict(
        factors=dict(tau=levels, method=('msn', 'simclr')),
        metrics=dict(kl='KL'),
        contrasts=[dict(title='T', factor='tau', baseline=levels[0])],
    )


@pytest.mark.parametrize(
    'levels, places, note',
    [
        (('0', '1', '4'), [0, 0.25, 1], ''),
        (('10', '100', '1000'), [0, 0.5, 1], ' (logarithmic)'),
        (('0', '0.01', '1'), [0, 0.5, 1], ' (not to scale)'),
        (('4', '0', '1'), [1, 0, 0.25], ''),
    ],
)
def test_numbers_are_an_axis_with_a_line_for_each_cell(tmp_path, saved, levels, places, note):
    runs, changes = of_tau(*levels)
    draw(tmp_path / 'a.png', runs, **changes)
    values, pairs = saved[0].axes
    assert list(pairs.get_xticks()) == pytest.approx(places)
    assert [text.get_text() for text in pairs.get_xticklabels()] == list(levels)
    assert pairs.get_xlabel() == 'tau' + note
    assert pairs.get_ylabel() == f'Δ to tau = {levels[0]}'
    order = sorted(range(3), key=lambda i: float(levels[i]))
    means = [i + 0.05 for i in order]
    assert sum(line == pytest.approx(means) for line in drawn(values)) == 2
    assert [text.get_text() for text in saved[0].legends[0].get_texts()] == ['msn', 'simclr']


def test_two_numbers_are_no_axis(tmp_path, saved):
    runs, changes = of_tau('0', '1')
    draw(tmp_path / 'a.png', runs, **changes)
    assert saved[0].axes[1].get_xlabel() == 'method'


def test_marks_of_differences_are_filled_where_they_are_clear(tmp_path, saved):
    few = {'msn': (0.600, 0.601, 0.602), 'simclr': (0.4, 0.5, 0.603)}
    runs = [
        Observation(
            dict(method=method, batches=batches),
            seed,
            {'patterns/linear': few[method][seed] if batches == 'few' else 0.5},
        )
        for method in few
        for batches in ('many', 'few')
        for seed in range(3)
    ]
    draw(tmp_path / 'a.png', runs)
    marks = [line for line in saved[0].axes[1].lines if line.get_zorder() == 5]
    faces = {round(float(mark.get_ydata()[0]), 1): mark.get_markerfacecolor() for mark in marks}
    assert faces[0.1] == 'white'
    assert faces[10.1] not in ('white', None)


def test_metrics_without_values_have_no_panel_and_without_pairs_an_empty_one(tmp_path, saved):
    runs = [one._replace(metrics=one.metrics | {'kl': 0.1 * (one.seed == 2)}) for one in RUNS]
    for one in runs[:3]:
        del one.metrics['kl']
    within = dict(method='msn')
    contrasts = [dict(title='T', factor='batches', baseline='many', within=within)]
    metrics = {'patterns/linear': 'a', 'scenes/linear': 'b', 'kl': 'c'}
    draw(tmp_path / 'a.png', runs, contrasts=contrasts, metrics=metrics)
    values = saved[0].axes[:2]
    assert [axis.get_title(loc='left') for axis in values] == ['a (%)', 'c']
    assert [[text.get_text() for text in axis.texts] for axis in saved[0].axes] == [
        [],
        [],
        [],
        ['no common seed'],
    ]


def test_one_cell_has_its_levels_along_the_axis(tmp_path, saved):
    contrasts = [dict(title='T', factor='batches', within=dict(method='msn'))]
    draw(tmp_path / 'a.png', contrasts=contrasts)
    (axis,) = saved[0].axes
    assert [text.get_text() for text in axis.get_xticklabels()] == ['many', 'few']
    assert saved[0].legends == []
