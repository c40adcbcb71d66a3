"""A report on small checkpoints: its numbers, its bytes, its page in a browser."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image

from mmssl_prior.errors import UserError
from mmssl_prior.evaluation import prototype_usage
from mmssl_prior.evaluation.encoder_source import read_source
from mmssl_prior.insight import Settings, agreement, analyze, kmeans_clusters, open_data
from mmssl_prior.insight import report as report_room
from mmssl_prior.insight.analyzed_data import encoder_steps
from mmssl_prior.insight.pictures import SIDES, picture_uris
from mmssl_prior.insight.report.wording import remarks
from tests.evaluation.checkpoints import MSN, PREPROCESSOR, RESNET, save_checkpoint
from tests.insight.browser import visit

IMAGES = 150
SETTINGS = Settings(clusters=(4,), gallery=5, per_prototype=3, points=40, queries=3, neighbours=3)
CONFIG = f"""
train_dataloader = dict(
    dataset=dict(
        type='RepeatDataset',
        times=2,
        dataset=dict(type='PatternsLT', num_images={IMAGES}, image_size=32, pipeline=[]),
    )
)
"""


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Folder, sources, data and results of a report on two models."""
    init_default_scope('mmpretrain')
    folder = tmp_path_factory.mktemp('report')
    (folder / 'data.py').write_text(CONFIG)
    save_checkpoint(folder / 'pmsn' / 'epoch_3.pth', MSN)
    save_checkpoint(folder / 'resnet' / 'epoch_3.pth', RESNET, data_preprocessor=PREPROCESSOR)
    sources = [read_source(str(folder / name / 'epoch_3.pth')) for name in ('pmsn', 'resnet')]
    data = open_data(str(folder / 'data.py'))
    said = []
    results = analyze(sources, data, folder / 'out', SETTINGS, 32, workers=0, say=said.append)
    return folder, sources, data, results, said


def features_by_hand(made, number):
    """Features of the target network (of MSN) by a loop over the images."""
    folder, _, data, _, _ = made
    model_cfg, others = [(MSN, {}), (RESNET, dict(data_preprocessor=PREPROCESSOR))][number]
    model = save_checkpoint(folder / 'again' / 'epoch_3.pth', model_cfg, **others)
    dataset = data.with_steps(encoder_steps(None, 32))
    rows = []
    mean, std = (torch.tensor(PREPROCESSOR[key])[:, None, None] for key in ('mean', 'std'))
    with torch.no_grad():
        for index in range(len(dataset)):
            images = (dataset[index]['inputs'][[2, 1, 0]] - mean)[None] / std
            out = model.extract_feat(images)
            out = out[-1] if isinstance(out, (list, tuple)) else out
            rows.append(out.flatten(2).mean(2)[0] if out.ndim == 4 else out[0])
    return model, torch.stack(rows)


def test_data_are_the_images_under_the_wrapper(made):
    _, _, data, results, _ = made
    assert len(data) == IMAGES and results['data']['images'] == IMAGES
    counts = [entry['images'] for entry in results['data']['classes']]
    assert counts == np.bincount(data.labels, minlength=16).tolist()


def test_numbers_of_prototypes_are_those_of_a_loop(made):
    _, _, data, results, _ = made
    model, features = features_by_hand(made, 0)
    with torch.no_grad():
        log_probs = model.head.log_probs(model.target_neck(features))
    usage, found = (
        prototype_usage(log_probs, model.head.log_prior),
        results['models'][0]['prototypes'],
    )
    assert found['counts'] == usage.counts.tolist() and found['used'] == usage.num_used
    assert found['kl'] == pytest.approx(usage.kl_to_prior, rel=1e-4)
    np.testing.assert_allclose(found['p_bar'], usage.p_bar, rtol=1e-4)
    entry = results['models'][0]['clusterings'][0]
    assert entry['name'] == 'prototypes'
    expected = agreement(log_probs.argmax(1).numpy(), data.labels)
    assert [entry[key] for key in ('purity', 'nmi', 'ari')] == pytest.approx(expected, rel=1e-4)
    for shown in results['models'][0]['gallery']:
        column = log_probs[:, shown['cluster']]
        best = column.sort(descending=True).values[:3]
        torch.testing.assert_close(column[shown['nearest']], best, rtol=1e-4, atol=1e-5)
    usages = [shown['usage'] for shown in results['models'][0]['gallery']]
    assert usages == sorted(usages, reverse=True)


def test_without_prototypes_clusters_take_their_place(made):
    _, _, data, results, _ = made
    _, features = features_by_hand(made, 1)
    model = results['models'][1]
    assert model['prototypes'] is None and model['gallery_of'] == 'k-means 4'
    found = kmeans_clusters(features, 4)
    sizes = np.sort(np.bincount(found.assignments, minlength=4))[::-1]
    assert model['clusterings'][0]['sizes'] == sizes.tolist()
    assert model['attention'] == dict(reason='ResNet is no vision transformer')
    for row in model['retrieval']['queries']:
        cosines = torch.cosine_similarity(features[row['query']], features, dim=1)
        cosines[row['query']] = -2
        expected = cosines.topk(3)
        assert [cos for _, cos in row['neighbours']] == pytest.approx(
            expected.values.tolist(), rel=1e-4
        )


def test_models_are_looked_at_through_the_same_images(made):
    one, two = made[3]['models']
    assert one['points'] == two['points'] and len(one['points']) == 40
    queries = [[row['query'] for row in m['retrieval']['queries']] for m in (one, two)]
    assert queries[0] == queries[1]


def test_files(made):
    folder, _, _, results, said = made
    out = folder / 'out'
    names = {path.name for path in (out / 'figures').iterdir()}
    assert {'usage.png', 'cluster_sizes.png', 'groups.png', 'plane_pca.png', 'spectrum.png'} < names
    assert {'gallery_a.png', 'gallery_b.png', 'neighbours_a.png'} < names
    # A ResNet attends to nothing.
    assert 'attention_a.png' in names and 'attention_b.png' not in names
    for name in names:
        with Image.open(out / 'figures' / name) as image:
            assert image.format == 'PNG' and min(image.size) > 50
    written = json.loads((out / 'results.json').read_text())
    assert written['models'][0]['prototypes'] == results['models'][0]['prototypes']
    assert 'data:' not in (out / 'results.json').read_text()
    assert any('k-means with 4' in text for text in said)


def test_the_page_needs_nothing_else(made):
    text = (made[0] / 'out' / 'report.html').read_text()
    assert len(text) < 2_000_000
    assert not re.search(r'(src|href)="(?!#|data:)', text)
    assert 'fetch(' not in text and 'import(' not in text
    # The name space of vector graphics is no address that is loaded.
    assert set(re.findall(r'https?://[\w./]+', text)) == {'http://www.w3.org/2000/svg'}


def tree(folder):
    kept = (p for p in folder.rglob('*') if p.suffix in ('.html', '.json', '.png'))
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in kept
        if path.parts[-2] in ('figures', folder.name)
    }


def test_a_second_call_measures_nothing_and_writes_the_same(made, monkeypatch):
    folder, sources, data, results, _ = made
    first, said = tree(folder / 'out'), []
    monkeypatch.setattr(report_room.page, 'write_figures', lambda *args: None)
    again = analyze(sources, data, folder / 'out', SETTINGS, 32, workers=0, say=said.append)
    assert again == results and tree(folder / 'out') == first
    assert sum('measured already' in text for text in said) == 2


def test_an_interrupted_report_goes_on_to_the_same_bytes(made):
    folder, sources, _, _, _ = made
    # From nothing, as on another day.
    data, out = open_data(str(folder / 'data.py')), folder / 'cut' / 'out'

    def cut(text):
        if 'resnet' in text and 'k-means' in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyze(sources, data, out, SETTINGS, 32, workers=0, say=cut)
    assert not (out / 'report.html').exists()
    said = []
    analyze(sources, data, out, SETTINGS, 32, workers=0, say=said.append)
    assert sum('measured already' in text for text in said) == 1
    assert tree(out) == tree(folder / 'out')


def test_page_in_a_browser(made, tmp_path):
    page = made[0] / 'out' / 'report.html'
    seen = visit(page, tmp_path / 'profile', '--dump-dom', fragment='selftest')
    assert seen.console == []
    verdict = re.search(r'<output id="selftest">(.*?)</output>', seen.dom)
    assert verdict and re.fullmatch(r'selftest passed: \d+ checks', verdict[1]), verdict
    assert len(re.findall('<section ', seen.dom)) == 10
    # One for the usage, two for the sizes, one for the spectrum.
    assert len(re.findall(r'<svg viewBox="[^"]*" role="img"', seen.dom)) == 4


def test_screenshot_of_the_page(made, tmp_path):
    shot = tmp_path / 'shot.png'
    page = made[0] / 'out' / 'report.html'
    options = (f'--screenshot={shot}', '--window-size=1000,1400', '--virtual-time-budget=3000')
    assert visit(page, tmp_path / 'profile', *options).console == []
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert('RGB'))
    assert pixels.shape == (1400, 1000, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 200


def test_a_broken_page_is_noticed(made, tmp_path):
    text = (made[0] / 'out' / 'report.html').read_text()
    page = tmp_path / 'report.html'
    page.write_text(text.replace('function spectrum() {', 'function spectrum() { nothing();', 1))
    seen = visit(page, tmp_path / 'profile', '--dump-dom', fragment='selftest')
    assert any('nothing is not defined' in line for line in seen.console)


def test_names_are_text(made, monkeypatch):
    """A file may be called as an element of the page."""
    _, _, data, results, _ = made
    monkeypatch.setattr(data, 'name', lambda index: '</script><img src=x onerror=alert(1)>')
    text = report_room.page.page_html(results, data)
    assert text.count('</script>') == 2 and '<img src=x' not in text


def test_pictures_fit_their_budget(made):
    data = made[2]
    whole = picture_uris(data.dataset, range(20))
    small = picture_uris(data.dataset, range(20), budget=0, sides=(*SIDES, 8))
    assert len(whole) == len(small) == 20
    assert sum(map(len, small.values())) < 0.75 * sum(map(len, whole.values()))


def test_a_checkpoint_twice(made):
    _, sources, data, _, _ = made
    with pytest.raises(UserError, match=r'pmsn/epoch_3 is named twice'):
        analyze([sources[0]] * 2, data, made[0] / 'twice', SETTINGS)


def test_checkpoints_of_one_name_in_two_places(made, tmp_path):
    _, sources, data, _, _ = made
    # As exp/a/run/epoch_3.pth and exp/b/run/epoch_3.pth have it.
    namesakes = [replace(source, name='run/epoch_3') for source in sources]
    found = analyze(namesakes, data, tmp_path, SETTINGS, 32, workers=0)
    assert [model['name'] for model in found['models']] == ['run/epoch_3', 'run/epoch_3-2']
    assert [model['method'] for model in found['models']] == ['MSN', 'ImageClassifier']


def test_a_collapsed_model_beside_another(made, tmp_path):
    _, sources, data, _, _ = made
    content = torch.load(sources[0].path, weights_only=False)
    for name in ('target_backbone.ln1.weight', 'target_backbone.ln1.bias'):
        content['state_dict'][name].fill_(name.endswith('bias'))
    (tmp_path / 'collapsed').mkdir()
    torch.save(content, tmp_path / 'collapsed' / 'epoch_3.pth')
    collapsed = read_source(str(tmp_path / 'collapsed' / 'epoch_3.pth'))
    found = analyze([collapsed, sources[1]], data, tmp_path / 'out', SETTINGS, 32, workers=0)
    assert 'nearly the same features' in found['models'][0]['remarks'][0]['text']
    # Which has no neighbourhoods to lay out; the other one's are drawn all the same.
    assert [list(model['planes']) for model in found['models']] == [['pca'], ['pca', 'tsne']]
    assert (tmp_path / 'out' / 'figures' / 'plane_tsne.png').is_file()
    assert 'NaN' not in (tmp_path / 'out' / 'results.json').read_text()


HEALTHY = dict(
    features=dict(width=64, images=500, rankme=30.0, spread=0.8, dimensions_of_90_percent=12),
    prototypes=dict(
        number=10,
        used=10,
        expected=10.0,
        information=1.5,
        total_variation=0.04,
        distinct=10,
    ),
    clusterings=[dict(name='k-means 4', effective=3.5, as_classes=True)],
)


@pytest.mark.parametrize(
    ('part', 'change', 'words'),
    [
        ('features', dict(spread=0.01), 'nearly the same features'),
        ('features', dict(rankme=1.2), 'most dimensions are wasted'),
        ('prototypes', dict(used=1), 'All images go to one prototype'),
        ('prototypes', dict(used=3), 'The others are dead'),
        ('prototypes', dict(information=0.01), 'hardly differ between images'),
        ('prototypes', dict(total_variation=0.4), 'does not follow the prior: 40%'),
        ('prototypes', dict(distinct=5), 'Only 5 of 10 prototypes differ'),
    ],
)
def test_a_failure_is_said_and_health_is_not_called_one(part, change, words):
    sick = {**HEALTHY, part: {**HEALTHY[part], **change}}
    warned = [remark['text'] for remark in remarks(sick, 3.5) if remark['kind'] == 'warn']
    assert len(warned) == 1 and words in warned[0]
    assert 'warn' not in {remark['kind'] for remark in remarks(HEALTHY, 3.5)}


def test_the_uniform_effect_is_said():
    texts = [remark['text'] for remark in remarks(HEALTHY, 2.0)]
    assert any('more equal than the classes' in text for text in texts)
