"""What the documents say exists: links, commands, configs."""

import re
import subprocess

import pytest

from tests.smoke import CONFIGS, ROOT

DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), *ROOT.glob('configs/**/*.md')]
    if '.venv' not in path.parts
)


@pytest.mark.parametrize('path', DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere_and_nothing_is_left_open(path):
    text = path.read_text()
    for target in re.findall(r'\]\(([^)#]+)', text):
        if '://' not in target:
            assert (path.parent / target).exists(), f'{path.name} links to {target}'
    assert not re.search(r'@[A-Z_]{3,}@|TODO|TBD', text)


def test_the_readmes_two_commands_run_what_it_says():
    block = (ROOT / 'README.md').read_text().split('```bash\n')[1].split('```')[0]
    targets = [line.split('#')[0].split()[1] for line in block.splitlines()]
    assert targets == ['demo', 'test']
    steps = subprocess.run(
        ['make', '-n', *targets], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for step in (
        'tools/train.py configs/pmsn/pmsn_vit-mini_patterns-lt.py',
        'demo_report',
        'pytest',
    ):
        assert step in steps


def test_every_config_is_in_the_readme():
    text = (ROOT / 'README.md').read_text()
    for path in CONFIGS:
        assert f']({path})' in text, path
