"""docs/results.md is what the committed table of runs makes of it."""

import re
import shutil

import pytest

from mmssl_prior.cli.study import main
from mmssl_prior.study import read_rows, read_study, study_cells
from tests.smoke import ROOT

DOCS = ROOT / 'docs'
SHOWN = re.findall(r'<!-- study: (\w+) -->', (DOCS / 'results.md').read_text())


@pytest.mark.parametrize('name', SHOWN)
def test_the_page_is_that_of_the_table(name, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = ROOT / f'configs/studies/{name}.py'
    shutil.copy(DOCS / 'results.md', tmp_path)
    arguments = ['--work-dir', str(tmp_path / 'work'), '--report', str(tmp_path)]
    assert main([str(study), *arguments]) == 0
    assert (tmp_path / 'results.md').read_text() == (DOCS / 'results.md').read_text()
    for picture in (tmp_path / 'images').glob('*.png'):
        assert (DOCS / 'images' / picture.name).is_file()


def test_rows_are_of_studies_that_are_there():
    """No number of a trial that nobody can ask for again."""
    asked = set()
    for path in sorted((ROOT / 'configs/studies').glob('*.py')):
        for cell in study_cells(read_study(path)):
            asked.add((cell.run.name, cell.run.options, cell.run.variables))
    for row in read_rows(DOCS / 'results/runs.csv'):
        assert row.identity in asked, row
