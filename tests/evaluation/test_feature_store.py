"""Stored features: equal to a plain loop, resumed, refused when stale, on two ranks."""

import copy
import fcntl
import json
import logging

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS, MODELS
from mmpretrain.structures import DataSample
from PIL import Image

from mmssl_prior.errors import UserError
from mmssl_prior.evaluation import FeatureStore
from mmssl_prior.evaluation.identity import dataset_digest, module_digest
from tests.gloo import run_ranks

VIT = dict(
    type='MSNViT',
    arch=dict(embed_dims=24, num_layers=4, num_heads=2, feedforward_channels=48),
    img_size=16,
    patch_size=8,
    drop_rate=0.5,
)
NAMES = ('cls', 'pool4')


def build_model(seed=0, **data_preprocessor):
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='LinearProbe',
                backbone=VIT,
                heads=[dict(feature='cls', in_channels=24)],
                num_classes=2,
                data_preprocessor=dict(mean=[127.0] * 3, std=[64.0] * 3) | data_preprocessor,
            )
        )
    model.init_weights()
    return model


def build_data(pipeline=(dict(type='PackInputs'),), **kwargs):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        cfg = dict(type='PatternsLT', split='train', num_classes=16, num_images=22, image_size=16)
        return DATASETS.build(cfg | dict(pipeline=list(pipeline)) | kwargs)


def store_of(root, model=None, data=None, **kwargs):
    kwargs = dict(features=NAMES, batch_size=3, chunk=5, name='toy', dtype='float32') | kwargs
    return FeatureStore.open_or_extract(
        root, model or build_model(), data or build_data(), **kwargs
    )


def reference(model, data, names=NAMES):
    """Features of a plain loop, one image at a time."""
    from mmssl_prior.models import trunk_features

    model = copy.deepcopy(model)
    model.eval()
    rows = []
    for i in range(len(data)):
        images = model.data_preprocessor(dict(inputs=[data[i]['inputs']], data_samples=[]))
        (image,) = images['inputs']
        rows.append(trunk_features(model.backbone, image[None], names))
    return {name: torch.cat([row[name] for row in rows]) for name in names}


class Count:
    """How many images pass the backbone."""

    def __init__(self, model):
        self.images = 0
        model.backbone.register_forward_hook(self)

    def __call__(self, module, inputs, output):
        assert not module.training
        self.images += len(inputs[0])


@pytest.fixture
def warnings(monkeypatch):
    """Lines of the log at and above its level."""
    lines = []

    def note(message, logger=None, level=logging.INFO):
        lines.append(str(message))

    for module in ('feature_files', 'chunk_rows'):
        monkeypatch.setattr(f'mmssl_prior.evaluation.{module}.print_log', note)
    return lines


def test_equals_a_plain_loop_and_is_opened_again(tmp_path):
    model, data = build_model(), build_data()
    model.train()
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    store = store_of(tmp_path, model, data)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    expected = reference(model, data)
    for name, features in store.all().items():
        torch.testing.assert_close(features.features, expected[name], rtol=1e-5, atol=1e-6)
        assert features.sample_idx.tolist() == list(range(22))
        assert features.labels.tolist() == [data.get_data_info(i)['gt_label'] for i in range(22)]
    array = np.load(store.folder / 'cls.npy', mmap_mode='r')
    assert array.dtype == np.float32 and array.shape == (22, 24)
    assert {path.name for path in store.folder.iterdir()} == {
        'cls.npy',
        'pool4.npy',
        'labels.npy',
        'manifest.json',
        'lock',
    }
    # In memory only: the files stay as they are.
    store.features('cls').features.zero_()
    count = Count(model)
    again = store_of(tmp_path, model, data)
    assert count.images == 0 and again == store
    torch.testing.assert_close(again.features('cls').features, expected['cls'])
    half = store_of(tmp_path, model, data, dtype='float16').features('cls').features
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), expected['cls'], rtol=1e-3, atol=1e-4)
    with pytest.raises(UserError, match="holds cls, pool4, not 'avg'"):
        store.features('avg')


def test_without_labels_images_alone_count(tmp_path):
    model, data = build_model(), build_data()
    with_labels = store_of(tmp_path, model, data)
    store = store_of(tmp_path, model, data, labels=False)
    count = Count(model)
    # Other labels of the same images.
    other = build_data(serialize_data=False)
    for info in other.data_list:
        info['gt_label'] = 15 - info['gt_label']
    again = store_of(tmp_path, model, other, labels=False)
    assert count.images == 0 and again == store and store.folder != with_labels.folder
    features = store.features('cls')
    assert features.labels is None and torch.equal(
        features.features, with_labels.features('cls').features
    )
    assert not np.load(store.folder / 'labels.npy').any()
    store_of(tmp_path, model, build_data(image_seed=1), labels=False)
    assert count.images


class Broken(Exception):
    pass


def test_interrupted_extraction_goes_on_after_its_last_chunk(tmp_path, monkeypatch, warnings):
    model, data = build_model(), build_data()
    whole = store_of(tmp_path / 'whole', model, data)
    pipeline, seen = data.pipeline, []

    def breaking(info):
        seen.append(info['sample_idx'])
        if info['sample_idx'] == 12:
            raise Broken
        return pipeline(info)

    data.pipeline = breaking
    monkeypatch.setattr('mmssl_prior.evaluation.feature_store.pipeline_text', lambda data: 'same')
    with pytest.raises(Broken):
        store_of(tmp_path, model, data)
    (folder,) = (path for path in tmp_path.iterdir() if path.name != 'whole')
    assert not (folder / 'manifest.json').exists()
    assert len(list((folder / 'chunks').iterdir())) == 2
    data.pipeline = pipeline
    # What the chunk after them had written, and a note that was not finished.
    np.load(folder / 'cls.npy', mmap_mode='r+')[10:13] = 7
    (folder / 'chunks' / '000002.part').write_text('{')
    count = Count(model)
    store = store_of(tmp_path, model, data)
    assert count.images == 12
    assert '2 of 5 chunks of features are in' in warnings[0]
    for name in NAMES:
        assert torch.equal(store.features(name).features, whole.features(name).features)


@pytest.mark.parametrize(
    'what', ['weights', 'setting', 'mean', 'pipeline', 'data', 'features', 'identity', 'dtype']
)
def test_stale_features_are_not_used(tmp_path, what):
    model, data = build_model(), build_data()
    first = store_of(tmp_path, model, data)
    kwargs = {}
    if what == 'weights':
        with torch.no_grad():
            model.backbone.pos_embed[0, 0, 0] += 1e-3
    elif what == 'setting':
        model.backbone.ln1.eps = 0.1
    elif what == 'mean':
        model.data_preprocessor.mean += 1
    elif what == 'pipeline':
        data = build_data([dict(type='RandomFlip', prob=1.0), dict(type='PackInputs')])
    elif what == 'data':
        data = build_data(image_seed=1)
    else:
        kwargs[what] = dict(features=('pool4', 'cls'), identity=('x',), dtype='float16')[what]
    second = store_of(tmp_path, model, data, **kwargs)
    assert second.folder != first.folder and len(list(tmp_path.iterdir())) == 2
    expected = reference(model, data)['cls']
    torch.testing.assert_close(
        second.features('cls').features.float(), expected, rtol=1e-2, atol=1e-2
    )


def test_digests():
    one, two = build_model(0), build_model(0)
    assert module_digest(one) == module_digest(two) != module_digest(build_model(1))
    one.train(), two.eval()
    assert module_digest(one) == module_digest(two)
    assert dataset_digest(build_data()) == dataset_digest(build_data())
    assert dataset_digest(build_data(serialize_data=False)) != dataset_digest(
        build_data(serialize_data=False, class_seed=1)
    )
    with pytest.raises(UserError, match='a list has no list that tells it from others'):
        dataset_digest([1])


@pytest.mark.parametrize('damage', ['cut', 'gone', 'manifest'])
def test_damaged_files_are_extracted_again(tmp_path, warnings, damage):
    model = build_model()
    store = store_of(tmp_path, model)
    expected = store.features('pool4').features.clone()
    path = store.folder / ('manifest.json' if damage == 'manifest' else 'pool4.npy')
    if damage == 'gone':
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-8])
    count = Count(model)
    again = store_of(tmp_path, model)
    assert count.images == 23  # one for the widths
    assert torch.equal(again.features('pool4').features, expected)
    assert (damage == 'manifest') == (not warnings)


def test_undecodable_images_have_no_row(tmp_path, warnings):
    folder = tmp_path / 'images'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(7):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(folder / f'{i}.png')
    for i in (0, 4):
        (folder / f'{i}.png').write_bytes((folder / f'{i}.png').read_bytes()[:60])
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = DATASETS.build(
            dict(
                type='ImageFolder',
                data_root=str(folder),
                pipeline=[dict(type='LoadImage'), dict(type='PackInputs')],
            )
        )
    model = build_model()
    store = store_of(tmp_path / 'store', model, data)
    features = store.features('cls')
    assert features.sample_idx.tolist() == [1, 2, 3, 5, 6] and features.labels is None
    good = [data[i] for i in features.sample_idx]
    torch.testing.assert_close(features.features, reference(model, good)['cls'])
    assert [index for index, _ in store.manifest['skipped']] == [0, 4]
    assert '2 images cannot be decoded' in warnings[-1] and 'number 0 (' in warnings[-1]
    for path in folder.iterdir():
        path.write_bytes(b'')
    with pytest.raises(UserError, match='none of 7 images can be decoded'):
        store_of(tmp_path / 'other', model, data)


def test_out_of_memory_means_smaller_batches(tmp_path, warnings, monkeypatch):
    model, limit = build_model(), 2
    sizes = []

    def check(module, inputs):
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > limit:
            raise torch.OutOfMemoryError('CUDA out of memory')

    model.backbone.register_forward_pre_hook(check)
    store = store_of(tmp_path, model, batch_size=10, chunk=20)
    assert sizes == [1, 10, 5, 3, *[2] * 5, *[2] * 5, 2]
    expected = reference(model, build_data())['cls']
    torch.testing.assert_close(store.features('cls').features, expected)
    assert '2 images pass the network at once, not 3' in warnings[-1]
    limit = 0
    with pytest.raises(UserError, match='out of memory with a single image'):
        store_of(tmp_path / 'other', model)


def test_own_forward(tmp_path):
    model, data = build_model(), build_data()
    store = store_of(tmp_path, model, data, forward=lambda x: dict(mean=x.mean((2, 3))))
    images = torch.stack([data[i]['inputs'] for i in range(22)]).float()
    torch.testing.assert_close(
        store.features('mean').features, (images.mean((2, 3)) - 127) / 64, rtol=1e-4, atol=1e-5
    )


def test_bad_input(tmp_path, monkeypatch):
    data = build_data()
    huge = build_model()
    with torch.no_grad():
        huge.backbone.ln1.bias.fill_(1e5)
    nan = build_model()
    with torch.no_grad():
        nan.backbone.ln1.bias.fill_(float('nan'))
    half_labelled = build_data()
    half_labelled.pipeline = Compose([lambda info: _without_label(info, data)])
    views = build_data()
    views.pipeline = lambda info: dict(data.pipeline(info), inputs=[torch.zeros(3, 16, 16)] * 2)
    for kwargs, message in (
        (dict(dtype='int8'), "one of .*'int8'"),
        (dict(chunk=0), 'chunk >= 1'),
        (dict(features=()), 'needs images, features'),
        (dict(features=('cls9',)), 'has 4 blocks, not 9'),
        (dict(model=huge, dtype='float16'), r"'cls' reaches 1e\+05, beyond float16: .*'float32'"),
        (dict(model=nan), "'cls' is not finite: the model has diverged, or was not loaded"),
        (dict(data=half_labelled), 'only 11 of 22 samples have a gt_label|exactly one gt_label'),
        (dict(data=views), 'several views'),
        (dict(forward=lambda x: dict(map=x)), r"'map' of 1 images has shape \(1, 3, 16, 16\)"),
    ):
        with pytest.raises(UserError, match=message):
            store_of(tmp_path, **kwargs)
    assert not list(tmp_path.glob('*/manifest.json'))
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='stored features: .*file.*choose another folder'):
        store_of(tmp_path / 'file')
    store = store_of(tmp_path / 'locked')
    (store.folder / 'manifest.json').unlink()
    with open(store.folder / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match='another process extracts these features'):
            store_of(tmp_path / 'locked')
    usage = type('Usage', (), dict(free=100))
    monkeypatch.setattr('shutil.disk_usage', lambda path: usage)
    with pytest.raises(UserError, match=r'the features need 0.00 GB, .* has 0.00 GB free'):
        store_of(tmp_path / 'full')


def _without_label(info, data):
    """Every second image has none."""
    sample = data.pipeline(info)
    if info['sample_idx'] % 2:
        del sample['data_samples'].gt_label
    return sample


def _rank(rank, root):
    """Extract on two ranks; a mistake of one rank is raised on both; heads are dealt to ranks."""
    import mmssl_prior  # noqa: F401
    from mmssl_prior.evaluation import ProbeRecipe, probe_features

    model, data = build_model(), build_data()
    count = Count(model)
    store = store_of(f'{root}/two', model, data)
    images = count.images
    error = ''
    broken = build_model()
    if rank == 1:
        broken.backbone.register_forward_hook(lambda *call: (call[2][0] * float('nan'),))
        broken.backbone.ln1.register_forward_hook(lambda *call: call[2] * float('nan'))
    try:
        store_of(f'{root}/broken', broken, data)
    except UserError as mistake:
        error = str(mistake)
    scores = probe_features(
        store.all(),
        store.all(),
        16,
        [dict(feature='cls', norm='bn'), dict(feature='pool4'), dict(feature='cls')],
        ProbeRecipe(epochs=2, batch_size=4, lr=0.1),
    )
    return images, store.manifest, error, scores.heads, scores.best, _online_step(rank)


def _online_step(rank=None):
    """Gradients of the probe on both halves of a batch, or on this rank's under DDP."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='LinearProbe',
                backbone=VIT,
                heads=[
                    dict(feature='cls4', in_channels=96, norm='bn'),
                    dict(feature='pool', in_channels=24),
                ],
                num_classes=3,
            )
        )
    model.backbone.load_state_dict(build_model().backbone.state_dict())
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 3, 16, 16, generator=generator)
    labels = torch.tensor([0, 1, 2, 2, 1, 1])
    wrapped = model
    if rank is not None:
        mine = slice(3 * rank, 3 * rank + 3)
        images, labels = images[mine], labels[mine]
        wrapped = torch.nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
    samples = [DataSample().set_gt_label(int(label)) for label in labels]
    model.parse_losses(wrapped(images, samples, mode='loss'))[0].backward()
    buffers = {name: value for name, value in model.heads.named_buffers()}
    return {name: param.grad for name, param in model.heads.named_parameters()} | buffers


def test_two_ranks(tmp_path):
    (one, manifest, *rest), (two, other, *others) = run_ranks(2, _rank, str(tmp_path))
    for gradients in (rest.pop(), others.pop()):
        torch.testing.assert_close(gradients, _online_step(), rtol=1e-4, atol=1e-6)
    # Chunks of five: 0, 2, 4 and 1, 3; the first rank looks at an image for the widths.
    assert (one, two) == (1 + 5 + 5 + 2, 5 + 5)
    assert manifest == other and rest == others
    assert 'is not finite' in rest[0]
    single = store_of(tmp_path / 'one')
    (folder,) = (tmp_path / 'two').iterdir()
    assert folder.name == single.folder.name
    for name in (*NAMES, 'labels'):
        ours, theirs = (np.load(place / f'{name}.npy') for place in (folder, single.folder))
        # To rounding: ranks may have another number of threads.
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert json.loads((folder / 'manifest.json').read_text()) == single.manifest
    from mmssl_prior.evaluation import ProbeRecipe, probe_features

    scores = probe_features(
        single.all(),
        single.all(),
        16,
        [dict(feature='cls', norm='bn'), dict(feature='pool4'), dict(feature='cls')],
        ProbeRecipe(epochs=2, batch_size=4, lr=0.1),
    )
    assert (scores.heads, scores.best) == (rest[1], rest[2])
