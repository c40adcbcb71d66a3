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


def headings(text):
    """Anchors of a page, as GitHub makes them."""
    lines = re.sub(r'^```.*?^```$', '', text, flags=re.M | re.S)
    titles = re.findall(r'^#+ (.+)$', lines, flags=re.M)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.parametrize('path', DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_anchors_are_headings(path):
    for target, anchor in re.findall(r'\]\(([^)#:]*)#([^)]+)\)', path.read_text()):
        page = path.parent / target if target else path
        assert anchor in headings(page.read_text()), f'{path.name} links to {target}#{anchor}'


def test_every_page_is_in_the_index():
    index = (ROOT / 'docs/README.md').read_text()
    for page in (ROOT / 'docs').glob('*.md'):
        assert page.name == 'README.md' or f']({page.name})' in index, page.name


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


@pytest.mark.parametrize('method', sorted({path.split('/')[1] for path in CONFIGS}))
def test_every_config_is_in_a_readme(method):
    """In the first page, or in that of its method."""
    first, own = (ROOT / 'README.md'), (ROOT / 'configs' / method / 'README.md')
    linked = {
        (page.parent / target).resolve()
        for page in (first, own)
        for target in re.findall(r'\]\(([^)#]+)', page.read_text())
    }
    configs = [path for path in CONFIGS if path.split('/')[1] == method]
    assert [path for path in configs if ROOT / path not in linked] == []
