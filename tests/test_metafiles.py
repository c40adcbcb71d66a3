"""``model-index.yml`` and the metafiles: complete, true, and as OpenMMLab's tools read them."""

import ast
import re

import pytest
import torch
import yaml
from mmengine import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from mmssl_prior.models.priors import Prior
from tests.smoke import CONFIGS, ROOT

INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
METHODS = sorted({path.split('/')[1] for path in CONFIGS})
METAFILES = {path: yaml.safe_load((ROOT / path).read_text()) for path in INDEX['Import']}
ENTRIES = [(path, entry) for path, content in METAFILES.items() for entry in content['Models']]
COLLECTIONS = {
    entry['Name']: (path, entry)
    for path, content in METAFILES.items()
    for entry in content['Collections']
}


def test_every_method_has_a_metafile_in_the_index():
    assert sorted(METAFILES) == [f'configs/{method}/metafile.yml' for method in METHODS]


def test_names_are_different():
    names = [entry['Name'] for _, entry in ENTRIES]
    assert sorted(set(names)) == sorted(names)


def test_every_config_is_listed_exactly_once():
    listed = [entry['Config'] for _, entry in ENTRIES]
    assert sorted(set(listed)) == sorted(listed), 'a config is listed twice'
    missing = [
        f'{path}: {true_metadata(path)}; add it to configs/{path.split("/")[1]}/metafile.yml'
        for path in sorted(set(CONFIGS) - set(listed))
    ]
    assert not missing, '\n'.join(missing)
    assert not set(listed) - set(CONFIGS), 'a config is listed that is not there'


def count_parameters(cfg, monkeypatch):
    """Of everything that is trained or averaged; without memory for it."""
    call = Prior.__call__

    def on_cpu(self, num_prototypes):
        # A prior looks at its values, and tensors on `meta` have none.
        with torch.device('cpu'):
            return call(self, num_prototypes)

    monkeypatch.setattr(Prior, '__call__', on_cpu)
    init_default_scope('mmpretrain')
    try:
        with torch.device('meta'):
            model = MODELS.build(cfg.model)
    except RuntimeError:
        # MMPretrain's ResNet looks at its drop rates likewise; it is small.
        model = MODELS.build(cfg.model)
    return sum(parameter.numel() for parameter in model.parameters())


def name_of(path):
    """The config's own, of a benchmark with its method: names are for MIM, which has one space."""
    _, method, *_, file = path.removesuffix('.py').split('/')
    return f'{method}_{file}' if '/benchmarks/' in path else file


def docstring(path):
    """Of a config, with its command in one line."""
    text = ast.get_docstring(ast.parse((ROOT / path).read_text()))
    return re.sub(r'\s*\\\s*\n\s*', ' ', text)


def true_metadata(path):
    """What the config itself says; the global batch is that of the docstring's command."""
    cfg = Config.fromfile(ROOT / path)
    command = rf'(?:NNODES=(\d+) .*?)?bash tools/dist_train\.sh {re.escape(path)} (\d+)'
    nodes, gpus = (re.search(command, docstring(path)) or re.match('()()', '')).groups()
    ranks = int(nodes or 1) * int(gpus or 1)
    facts = {'Batch Size': cfg.train_dataloader.batch_size * ranks}
    # None where the loop chooses by the size of the data.
    if cfg.train_cfg.get('max_epochs') is not None:
        facts['Epochs'] = cfg.train_cfg.max_epochs
    with pytest.MonkeyPatch.context() as patch:
        facts['Parameters'] = count_parameters(cfg, patch)
    return facts


@pytest.mark.parametrize(('file', 'entry'), ENTRIES, ids=lambda value: str(value)[-40:])
def test_entry_is_true(file, entry):
    path = entry['Config']
    assert entry['Name'] == name_of(path)
    assert path.startswith(file.rpartition('/')[0] + '/')
    collection_file, _ = COLLECTIONS[entry['In Collection']]
    assert collection_file == file
    metadata = entry['Metadata']
    assert metadata['Architecture'] and metadata['Training Data']
    true = true_metadata(path)
    assert {key: metadata.get(key) for key in true} == true
    for name in entry.get('Downstream') or ():
        assert name in {other['Name'] for _, other in ENTRIES}
    # No checkpoint is published.
    assert entry['Weights'] is None
    check_results(entry)


def check_results(entry):
    """Null until measured; a measured one says over how many seeds, as the docstring does."""
    text = docstring(entry['Config'])
    if entry['Results'] is None:
        assert re.search(r'not yet (run|measured)', text), 'the docstring gives a result'
        return
    assert 'not yet run' not in text
    for result in entry['Results']:
        assert result['Task'] and result['Dataset']
        metrics = dict(result['Metrics'])
        seeds = metrics.pop('Seeds')
        assert isinstance(seeds, int) and seeds >= 1
        assert metrics and all(0 <= value <= 100 for value in metrics.values())
        if seeds == 1:
            # The docstring has fractions.
            assert all(f'{value / 100:.3f}' in text for value in metrics.values())


@pytest.mark.parametrize('name', COLLECTIONS)
def test_collection_has_its_readme(name):
    file, entry = COLLECTIONS[name]
    assert entry['README'] == f'{file.rpartition("/")[0]}/README.md'
    assert (ROOT / entry['README']).is_file()
    assert entry['Paper']['Title'] and entry['Paper']['URL'].startswith('https://')
    assert entry['Metadata']['Architecture']


def test_means_of_three_seeds():
    (entry,) = (entry for _, entry in ENTRIES if entry['Name'] == 'pmsn_vit-mini_patterns-lt')
    metrics = entry['Results'][0]['Metrics']
    text = docstring(entry['Config'])
    assert metrics['Seeds'] == 3
    for metric, fractions in (
        ('k-NN Top 1 Accuracy', (0.890, 0.854, 0.863)),
        ('Linear Probe Top 1 Accuracy', (0.901, 0.873, 0.870)),
    ):
        assert all(f'{fraction:.3f}' in text for fraction in fractions)
        assert metrics[metric] == pytest.approx(100 * sum(fractions) / 3, abs=0.05)


def test_openmmlabs_reader_takes_it():
    modelindex = pytest.importorskip('modelindex')
    index = modelindex.load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    names = sorted(model.name for model in index.models)
    assert names == sorted(entry['Name'] for _, entry in ENTRIES)
    # It looks for the README beside the metafile; OpenMMLab's metafiles name it from the top.
    errors = [error for error in index.check(silent=True) if 'README' not in error]
    assert not errors
