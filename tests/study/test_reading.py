"""A study file that says something wrong: one line with file and field."""

import pytest

from mmssl_prior.cli import evaluate
from mmssl_prior.errors import UserError
from mmssl_prior.study import read_study
from mmssl_prior.study.reading import EVALUATION_KEYS
from mmssl_prior.study.work import evaluation_arguments
from tests.study.test_cells import CONFIG, STUDY

VALUES = dict(
    tasks=['digits'],
    measures=['knn'],
    protocol='vissl',
    data_root='data',
    data=['cifar100=x'],
    low_shot_list=['cifar100=x'],
    image_size=32,
    groups=[2, 3],
    probe_features=['cls'],
    lr_multipliers=[0.5],
    batch_size=8,
    workers=2,
)


def read(tmp_path, text):
    for name in ('a.py', 'b.py'):
        (tmp_path / name).write_text(CONFIG)
    (tmp_path / 'study.py').write_text(text)
    return read_study(tmp_path / 'study.py')


def test_what_a_study_says(tmp_path):
    more = "metrics = dict(x='y')\ncontrasts = [dict(title='t')]\n_own = 3\n"
    study = read(tmp_path, STUDY + more)
    assert (study.name, study.title, study.question) == ('study', 'A title', 'A question?')
    assert study.metrics == dict(x='y') and study.contrasts == [dict(title='t')]
    assert list(study.factors) == ['method', 'prior'] and study.seed_variable == 'SEED'
    assert study.factors['method']['pmsn'].config == (tmp_path / 'a.py').resolve()


def test_a_study_may_have_a_base(tmp_path):
    read(tmp_path, STUDY)
    (tmp_path / 'full.py').write_text(
        "_base_ = ['study.py']\ntitle = 'Full size'\nlaunch = 'bash x.sh {config} 8'\n"
        "factors = dict(method=dict(pmsn=dict(config='b.py')))\n"
    )
    study = read_study(tmp_path / 'full.py')
    assert (study.title, study.question) == ('Full size', 'A question?')
    assert study.factors['method']['pmsn'].config == (tmp_path / 'b.py').resolve()
    assert list(study.factors['prior']) == ['own', 'flat']


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('evaluation =', 'evaluaton =', r"no field 'evaluaton' \(did you mean evaluation\?\)"),
        ('evaluation =', 'few = 1\nevaluation =', r"'few'.*your own begins with an underscore"),
        ("'A question?'", "''", r'question is missing'),
        ("'A title'", '3', r'title must be text, got 3'),
        ('factors = dict(', 'factors = dict(seed=dict(x=dict()),', r"'seed' cannot be the name"),
        ('prior=dict(own', 'flavour=dict(), prior=dict(own', r'factors\.flavour has no levels'),
        ('own=dict()', 'own=3', r'factors\.prior\.own must be a dict, got 3'),
        ('own=dict()', 'own=dict(option={})', r"prior\.own: a level has no field 'option' \(did"),
        ("'a.py'", "'c.py'", r'factors\.method\.pmsn\.config: .*c\.py: no such file'),
        ('grids = [dict', 'grids = dict(x=1)\n_g = [dict', r'grids must be a list'),
        ('levels=', 'level=', r"grids\[0\]: a grid has no field 'level' \(did you mean levels"),
        ('prior=[', 'priors=[', r"grids\[0\]\.levels: the study has no field 'priors'"),
        ("'flat']", "'flt']", r"grids\[0\]\.levels\.prior: no level 'flt' \(did you mean flat"),
        ("'flat']", "'own']", r"levels\.prior names 'own' twice"),
        ("['own', 'flat']", '[]', r'levels\.prior must be a list of levels'),
        ('seeds=2', 'seeds=0', r'grids\[0\]\.seeds must be a number of seeds or a list'),
        ('seeds=2', 'seeds=[1, 1]', r'seeds names a seed twice'),
        ('seeds=2', 'seeds=[0.5]', r'seeds must be a number'),
        ('seeds=2', 'seeds=True', r'seeds must be a number'),
        ('seeds=2)', "seeds=2, name='x'), dict(name='x', seeds=1)", r"two grids have the name 'x'"),
        ("['digits']", "['digit']", r"evaluation\.tasks: unknown task 'digit'"),
        ("['digits']", "'digits'", r'evaluation\.tasks must be a list'),
        ("tasks=['digits']", "measures=['knn']", r'evaluation\.tasks is missing'),
        ("['digits']", "['digits'], measures=['kn']", r"measures: .*'kn' \(did you mean knn\?\)"),
        ("['digits']", "['digits'], out='x'", r"evaluation: it has no field 'out'"),
        ('evaluation =', "launch = 'bash x'\nevaluation =", r'launch must be a command with'),
        ("': 0.0}", "': '0'}", r"prior\.flat\.options: .*exponent='0' cannot be said"),
    ],
)
def test_mistakes_name_file_and_field(tmp_path, old, new, message):
    assert old in STUDY
    text = STUDY.replace(old, new)
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, text)
    assert str(error.value).startswith(f'{tmp_path}/study.py: ') and '\n' not in str(error.value)


def test_a_file_that_is_missing_or_does_not_evaluate(tmp_path):
    with pytest.raises(UserError, match=r'gone\.py: no such file'):
        read_study(tmp_path / 'gone.py')
    with pytest.raises(UserError, match=r'study\.py:2: .*nothing'):
        read(tmp_path, 'x = 1\ny = nothing\n')


def test_arguments_of_an_evaluation_are_flags_of_its_command():
    assert set(VALUES) == set(EVALUATION_KEYS)
    parsed = evaluate.parse_args(['checkpoint', *evaluation_arguments(VALUES)])
    for name, value in VALUES.items():
        assert getattr(parsed, name) in (value, tuple(value) if name == 'groups' else value)
    assert evaluate.parse_args(['x', *evaluation_arguments(dict(tasks=['digits']))]).workers == 0
