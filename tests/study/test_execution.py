"""Runs whose turn comes behind an edit of their config are not those that were asked for."""

import json
import os

import pytest

from mmssl_prior.study import read_study, study_cells, study_runs
from mmssl_prior.study.cells import is_current
from mmssl_prior.study.execution import execute
from mmssl_prior.study.work import LOG, Tools, refuse, work
from tests.study.tiny import write_study

TOOLS = Tools(lambda words: 0, lambda words: 0)
VERSIONS = ('date', 'mmssl_prior', 'torch', 'mmengine', 'mmpretrain', 'device')


def row(run):
    """What a run leaves behind."""
    said = dict(config=run.name, options=run.options, environment=run.variables, seed=run.seed)
    digests = dict(trained=run.trained, evaluated=run.evaluated, code=run.code)
    return said | digests | dict.fromkeys(VERSIONS, '') | dict(core_minutes=1.0, metrics={})


@pytest.mark.parametrize(
    ('old', 'new', 'expected'),
    [('', '# nothing\n', True), ('batch_size=8', 'batch_size=4', False), ('train_', '', False)],
    ids=['comment', 'another config', 'malformed'],
)
def test_an_edited_config_is_another_run(tmp_path, old, new, expected):
    study = read_study(write_study(tmp_path))
    cell = study_cells(study)[0]
    assert is_current(study, cell)
    text = (tmp_path / 'tiny.py').read_text()
    (tmp_path / 'tiny.py').write_text(text.replace(old, new) if old else new + text)
    assert is_current(study, cell) is expected


def test_edited_code_is_another_run(tmp_path, monkeypatch):
    study = read_study(write_study(tmp_path))
    cell = study_cells(study)[0]
    monkeypatch.setattr('mmssl_prior.study.code.CodeTree.digest', lambda self, modules: 'other')
    assert not is_current(study, cell)


def test_a_run_behind_the_edit_is_refused(tmp_path, monkeypatch):
    """The first run begins before the edit, the second behind it."""
    study = read_study(write_study(tmp_path))
    cells = study_cells(study)
    started, said = [], []

    class EditingPool:
        stopped = ''

        def __init__(self, slots, preload, variables):
            pass

        def run(self, jobs, target, ended):
            for job in jobs:
                function, *arguments = target(job, {})
                started.append(function)
                if function is refuse:
                    with pytest.raises(SystemExit) as ending:
                        refuse(*arguments)
                    ended(job, ending.value.code)
                else:
                    job.folder.mkdir(parents=True)
                    (job.folder / 'row.json').write_text(json.dumps(row(job.run)))
                    ended(job, 0)
                path = tmp_path / 'tiny.py'
                path.write_text(path.read_text().replace('batch_size=8', 'batch_size=4'))

    monkeypatch.setattr('mmssl_prior.study.execution.Pool', EditingPool)
    outcome = execute(
        study, cells, study_runs(cells), TOOLS, tmp_path / 'work', [{}], (), None, said.append
    )
    assert started == [work, refuse]
    assert (outcome.finished, outcome.failed) == (1, 1)
    assert 'FAILED (error: its config or the code has changed' in said[-1]
    assert os.listdir(tmp_path / 'work' / cells[1].run.trained) == [LOG]
