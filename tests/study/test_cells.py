"""Grids as runs: which there are, in which order, and which of them are the same."""

import shlex

import pytest

from mmssl_prior.errors import UserError
from mmssl_prior.study import read_study, study_cells, study_runs

CONFIG = """'''A config.'''
seed = int('{{$SEED:0}}')
rate = float('{{$RATE:0.5}}')
model = dict(type='PMSN', head=dict(prior=dict(type='PowerLawPrior', exponent=0.25)))
train_dataloader = dict(batch_size=8, dataset=dict(type='DigitsLT', data_root='here'))
train_cfg = dict(max_epochs=2)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=rate))
randomness = dict(seed=seed)
work_dir = 'one'
"""
STUDY = """
title, question = 'A title', 'A question?'
factors = dict(
    method=dict(pmsn=dict(config='a.py'), other=dict(config='b.py')),
    prior=dict(own=dict(), flat=dict(options={'model.head.prior.exponent': 0.0})),
)
grids = [dict(levels=dict(method=['pmsn', 'other'], prior=['own', 'flat']), seeds=2)]
evaluation = dict(tasks=['digits'])
"""


@pytest.fixture
def cells(tmp_path):
    """Cells of a study text, with two configs beside it."""

    def read(text=STUDY, config=CONFIG, only=None):
        (tmp_path / 'a.py').write_text(config)
        (tmp_path / 'b.py').write_text(CONFIG.replace('max_epochs=2', 'max_epochs=3'))
        (tmp_path / 'study.py').write_text(text)
        return study_cells(read_study(tmp_path / 'study.py'), only)

    return read


def places(cells):
    return [(cell.run.seed, *cell.factors.values()) for cell in cells]


def test_a_grid_is_a_product_seed_by_seed(cells):
    assert places(cells()) == [
        (0, 'pmsn', 'own'),
        (0, 'pmsn', 'flat'),
        (0, 'other', 'own'),
        (0, 'other', 'flat'),
        (1, 'pmsn', 'own'),
        (1, 'pmsn', 'flat'),
        (1, 'other', 'own'),
        (1, 'other', 'flat'),
    ]


def test_grids_are_united_and_a_shared_cell_is_one_run(cells):
    text = STUDY.replace(
        'seeds=2)]',
        "seeds=2), dict(name='more', levels=dict(prior=['own', 'flat']), seeds=[1, 5])]",
    )
    both = cells(text)
    # A factor that is not named stays at its first level.
    assert places(cells(text, only='more')) == [
        (1, 'pmsn', 'own'),
        (1, 'pmsn', 'flat'),
        (5, 'pmsn', 'own'),
        (5, 'pmsn', 'flat'),
    ]
    assert places(both) == [*places(cells()), (5, 'pmsn', 'own'), (5, 'pmsn', 'flat')]
    assert len(study_runs(both)) == 10
    with pytest.raises(UserError, match=r"no grid 'most'; it has 1, more"):
        cells(text, only='most')


def test_levels_that_mean_the_same_are_one_run(cells):
    found = cells(STUDY.replace("exponent': 0.0", "exponent': 0.25"))
    assert len(found) == 8 and len(study_runs(found)) == 4


def test_a_run_holds_the_command_that_can_be_typed(cells, tmp_path):
    run = cells()[5].run
    command = shlex.split(run.command('w'))
    assert command[:3] == ['SEED=1', 'python', 'tools/train.py']
    assert command[3:] == [
        str(tmp_path / 'a.py'),
        *('--work-dir', 'w', '--resume', '--cfg-options', 'model.head.prior.exponent=0.0'),
    ]
    launched = STUDY + "launch = 'bash tools/dist_train.sh {config} 8'\n"
    command = shlex.split(cells(launched)[0].run.command('w'))
    assert command[1:6] == [
        'bash',
        'tools/dist_train.sh',
        str(tmp_path / 'a.py'),
        '8',
        '--work-dir',
    ]


def first(cells, text=STUDY, config=CONFIG):
    return cells(text, config)[0].run


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ("'''A config.'''", '# Another one.'),
        ("'one'", "'two'"),
        ("'here'", "'there'"),
        ('work_dir =', 'unread = 3\nwork_dir ='),
        ("type='PMSN', head=dict", 'head=dict'),
        ('train_cfg = dict(max_epochs=2)\n', ''),
    ],
)
def test_what_trains_nothing_else_is_the_same(cells, old, new):
    """Places and comments do not count; a model without a type, or the default of a key, does."""
    assert old in CONFIG
    same = old not in ("type='PMSN', head=dict", 'train_cfg = dict(max_epochs=2)\n')
    changed = first(cells, config=CONFIG.replace(old, new))
    assert (changed.trained == first(cells).trained) == same


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ("tasks=['digits']", "tasks=['digits'], data_root='x', workers=3, batch_size=7"),
        ("title, question = 'A title'", "title, question = 'Another title'"),
    ],
)
def test_what_measures_nothing_else_is_the_same(cells, old, new):
    assert first(cells, STUDY.replace(old, new)).evaluated == first(cells).evaluated


def test_another_evaluation_is_of_the_same_training(cells):
    for new in ("tasks=['digits', 'patterns']", "tasks=['digits'], measures=['knn']"):
        other = first(cells, STUDY.replace("tasks=['digits']", new))
        assert other.trained == first(cells).trained
        assert other.evaluated != first(cells).evaluated


def test_order_of_options_is_nothing_and_their_values_are_all(cells):
    def options(text):
        return first(cells, f'{STUDY}options = {{{text}}}\n').trained

    rate, size = "'optim_wrapper.optimizer.lr': 0.1", "'train_dataloader.batch_size': 4"
    assert options(f'{rate}, {size}') == options(f'{size}, {rate}')
    assert len({options(text) for text in ('', rate, size, rate.replace('0.1', '0.2'))}) == 4
    # What an override leaves as it was is no other run.
    assert options("'train_dataloader.batch_size': 8") == first(cells).trained


def test_the_digest_is_that_of_the_whole_config(cells):
    """An override, or a file that says the same: one run."""
    written = first(cells, config=CONFIG.replace('exponent=0.25', 'exponent=0.0'))
    assert written.trained == cells()[1].run.trained


def test_launching_on_more_ranks_is_another_training(cells):
    found = {
        first(cells, f"{STUDY}launch = 'bash tools/dist_train.sh {{config}} {ranks}'\n").trained
        for ranks in (4, 8)
    }
    assert len(found | {first(cells).trained}) == 3


def test_code_counts(cells, monkeypatch):
    before = first(cells)
    monkeypatch.setattr('mmssl_prior.study.code.CodeTree.digest', lambda self, modules: 'other')
    after = first(cells)
    assert before.trained != after.trained and before.evaluated != after.evaluated
    assert after.code == 'other'


def test_weights_count_by_what_is_in_them(cells, tmp_path):
    def trained(content, name='w.pth'):
        (tmp_path / name).write_bytes(content)
        return first(cells, config=f"{CONFIG}load_from = '{tmp_path / name}'\n").trained

    assert trained(b'one') == trained(b'one', 'moved.pth') != trained(b'two')


def test_a_level_may_set_the_environment(cells):
    text = STUDY.replace('own=dict()', 'own=dict(environment=dict(RATE=0.25))')
    run = first(cells, text)
    assert run.variables == 'RATE=0.25 SEED=0'
    assert run.trained != first(cells).trained


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ("config='a.py'", '', r'method\.pmsn prior\.own: exactly one level.*none of them does'),
        ('own=dict()', "own=dict(config='b.py')", r'exactly one level.*method\.pmsn, prior\.own'),
        (
            "config='a.py'",
            "config='a.py', options={'model.head.prior.exponent': 1}",
            r'method\.pmsn and prior\.flat both set model\.head\.prior\.exponent',
        ),
        ('head.prior.exponent', 'hed.prior.exponent', r'prior\.flat: --cfg-options .*mean model'),
        (
            'own=dict()',
            "own=dict(environment=dict(SEED='3'))",
            r'SEED is the seed variable; no level may set it',
        ),
        (
            'evaluation =',
            "seed_variable = 'SAAT'\nevaluation =",
            r'a\.py is the same under SAAT=0 and SAAT=1: nothing in it reads',
        ),
    ],
)
def test_mistakes_name_the_cell(cells, old, new, message):
    assert old in STUDY
    with pytest.raises(UserError, match=message) as error:
        cells(STUDY.replace(old, new))
    assert 'study.py: ' in str(error.value) and '\n' not in str(error.value)
