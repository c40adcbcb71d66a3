import pytest
import torch
from matplotlib.figure import Figure

from mmssl_prior.evaluation import prototype_usage
from mmssl_prior.evaluation.plots import plot_curves, plot_prototype_usage, plot_training_curves

PRIOR = torch.tensor([0.5, 0.3, 0.2]).log()


@pytest.fixture
def figures(monkeypatch):
    """Figures in the order in which they were saved."""
    saved = []
    savefig = Figure.savefig
    monkeypatch.setattr(
        Figure,
        'savefig',
        lambda self, *args, **kwargs: (saved.append(self), savefig(self, *args, **kwargs))[1],
    )
    return saved


def _is_png(path):
    return path.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'


def test_curves_show_what_was_logged(tmp_path, figures):
    curves = dict(
        loss_ce=([1.0, 2.0], [3.0, 2.0]),
        prior_kl=([1.0, 2.0], [0.2, 0.1]),
        p_bar_entropy=([1.0, 2.0], [0.9, 1.0]),
        target_prototypes=([1.0, 2.0], [2.0, 3.0]),
        knn_top1=([1, 2], [0.3, 0.6]),
    )
    plot_training_curves(tmp_path / 'a.png', curves, PRIOR, {'raw pixels': 0.25})
    assert _is_png(tmp_path / 'a.png')
    drawn = [list(line.get_ydata()) for axis in figures[0].axes for line in axis.lines]
    for _, values in curves.values():
        assert values in drawn
    assert [0.25, 0.25] in drawn
    entropy = float(torch.distributions.Categorical(logits=PRIOR.double()).entropy())
    assert any(values == pytest.approx([entropy] * 2) for values in drawn)


def test_a_run_without_prototypes_or_validation_can_be_drawn(tmp_path):
    plot_training_curves(tmp_path / 'a.png', dict(loss=([1.0], [2.0])))
    assert _is_png(tmp_path / 'a.png')


def test_usage_is_drawn_by_rank_and_sorted(tmp_path, figures):
    p = torch.tensor([[0.2, 0.7, 0.1], [0.4, 0.5, 0.1]])
    plot_prototype_usage(tmp_path / 'a.png', prototype_usage(p.log(), PRIOR), PRIOR)
    assert _is_png(tmp_path / 'a.png')
    by_rank, by_size = ([list(line.get_ydata()) for line in axis.lines] for axis in figures[0].axes)
    assert by_rank[0] == pytest.approx([0.3, 0.6, 0.1]) and by_size[0] == pytest.approx(
        [0.6, 0.3, 0.1]
    )
    assert by_rank[1] == by_size[1] == pytest.approx([0.5, 0.3, 0.2])


def test_the_order_of_the_prototypes_changes_no_picture(tmp_path, figures):
    """As where the prior is matched to usage: places are ranks in the prior, not indices."""
    p, order = torch.tensor([[0.2, 0.7, 0.1], [0.4, 0.5, 0.1]]).log(), [2, 0, 1]
    for log_p, prior in ((p, PRIOR), (p[:, order], PRIOR[order])):
        plot_prototype_usage(tmp_path / 'a.png', prototype_usage(log_p, prior), prior)
    first, second = (
        [shape.get_height() for axis in figure.axes for shape in axis.patches]
        + [y for axis in figure.axes for line in axis.lines for y in line.get_ydata()]
        for figure in figures
    )
    assert first == pytest.approx(second)


def test_curves_of_runs_have_a_panel_for_each_key(tmp_path, figures):
    run, other = ([1, 2], [3.0, 4.0]), ([1], [2.0])
    plot_curves(tmp_path / 'x.png', dict(loss=dict(a=run, b=other), acc=dict(b=run)), 'step', 'T')
    (figure,) = figures
    loss, acc = figure.axes
    assert [axis.get_title(loc='left') for axis in (loss, acc)] == ['loss', 'acc']
    assert [line.get_xydata().tolist() for line in loss.lines] == [[[1, 3], [2, 4]], [[1, 2]]]
    assert loss.lines[1].get_marker() == 'o', 'a single point makes no line'
    assert acc.lines[0].get_color() == loss.lines[1].get_color() != loss.lines[0].get_color()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ['a', 'b']
    assert acc.get_xlabel() == 'step' and figure.get_suptitle() == 'T'
