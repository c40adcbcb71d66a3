"""``tools/export_embeddings.py``: against a plain loop, interrupted, the encoder elsewhere."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from PIL import Image

from mmssl_prior.cli.export_embeddings import main, test_pipeline
from mmssl_prior.errors import UserError
from mmssl_prior.evaluation import export_embeddings as module
from mmssl_prior.evaluation.encoder_config import encoder_config
from mmssl_prior.evaluation.export_embeddings import NAMES, export_embeddings
from mmssl_prior.evaluation.features import evaluated_backbone
from tests.models.masked import DATA2VEC
from tests.smoke import ROOT

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=32)
TIMM = dict(model_name='vit_tiny_patch16_224', img_size=32, embed_dim=24, depth=1, num_heads=2)
NOT_UTF8 = os.fsdecode(b'caf\xe9.png')
SMALL = """
_base_ = [{base!r}]
model = dict(
    backbone=dict(
        _delete_=True,
        type='MSNViT',
        arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=32),
        img_size=32,
        patch_size=8,
    ),
    neck=dict(in_channels=24, hid_channels=16, out_channels=8),
    head=dict(num_prototypes=5, embed_dim=8),
)
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeEdge', scale=32, edge='short'),
    dict(type='CenterCrop', crop_size=32),
    dict(type='PackInputs'),
]
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp('config') / 'small.py'
    path.write_text(SMALL.format(base=str(ROOT / 'configs/pmsn/pmsn_vit-s16_folder.py')))
    return path


@pytest.fixture(scope='module')
def model(config):
    cfg = Config.fromfile(config)
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    # A target network that is not the trained one.
    for parameter in model.target_backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope='module')
def checkpoint(model, tmp_path_factory):
    path = tmp_path_factory.mktemp('checkpoint') / 'epoch_1.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Eleven images, two of them broken; sizes differ."""
    rng = np.random.default_rng(0)
    root = tmp_path / 'images'
    (root / 'sub').mkdir(parents=True)
    for i in range(9):
        pixels = rng.integers(0, 255, (40 + i, 50, 3), dtype=np.uint8)
        name = NOT_UTF8 if i == 8 else f'{"sub/" if i % 2 else ""}{i}.png'
        Image.fromarray(pixels).save(os.path.join(root, name))
    (root / '3b.jpg').write_bytes(b'no image')
    content = (root / '4.png').read_bytes()
    (root / '5.png').write_bytes(content[: len(content) // 2])
    return root


@pytest.fixture
def run(config, checkpoint, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv('WORLD_SIZE', raising=False)

    def call(*arguments, out='out', checkpoint=checkpoint):
        status = main(
            [str(config), str(checkpoint), '--data', str(folder), '--out', str(tmp_path / out)]
            + ['--batch-size', '3', '--num-workers', '0', *arguments]
        )
        return status, capsys.readouterr()

    return call


def table(path):
    with open(path, encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


def reference(model, config, paths):
    """Features and log-probabilities of one image after another."""
    pipeline = Compose(Config.fromfile(config).test_pipeline)
    rows = []
    model.eval()
    for path in paths:
        inputs = pipeline(dict(img_path=path, sample_idx=0))['inputs'][None].float()
        mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
        images = (inputs.flip(1) - mean) / std
        with torch.no_grad():
            rows.append((model.target_backbone(images)[-1][0], model.assign(images)[0]))
    features, log_probs = zip(*rows)
    return torch.stack(features), torch.stack(log_probs)


def test_rows_tables_and_the_printed_encoder(run, model, config, folder, tmp_path):
    status, said = run()
    assert status == 0, said.err
    out = tmp_path / 'out'
    assert sorted(p.name for p in out.iterdir()) == [
        'embeddings.csv',
        'embeddings.npy',
        'skipped.csv',
    ]
    array = np.load(out / 'embeddings.npy', mmap_mode='r')
    assert isinstance(array, np.memmap) and array.dtype == np.float32 and array.shape == (9, 24)
    rows = table(out / 'embeddings.csv')
    paths = sorted(
        str(folder / name) for name in ('0.png', '2.png', '4.png', '6.png', NOT_UTF8)
    ) + sorted(str(folder / f'sub/{i}.png') for i in (1, 3, 5, 7))
    assert [row['row'] for row in rows] == [str(i) for i in range(9)]
    names = [os.path.relpath(path, folder) for path in paths]
    assert [row['path'] for row in rows] == [n.replace('\udce9', r'\xe9') for n in names]
    features, log_probs = reference(model, config, paths)
    torch.testing.assert_close(torch.from_numpy(np.array(array)), features)
    assert [int(row['prototype']) for row in rows] == log_probs.argmax(1).tolist()
    assert [float(row['log_prob']) for row in rows] == pytest.approx(
        log_probs.max(1).values.tolist(), rel=1e-4
    )
    skipped = table(out / 'skipped.csv')
    assert [row['path'] for row in skipped] == ['3b.jpg', '5.png']
    assert skipped[0]['reason'] == 'not an image of a known format' and skipped[1]['reason']
    assert 'embeddings.npy (9, 24)' in said.out and '2 images skipped' in said.out

    # The printed lines, executed, are the encoder: the same features on the same images.
    lines = said.out[said.out.index('backbone = dict(') :]
    scope = {}
    exec(lines, scope)
    assert scope['backbone']['type'] == 'VisionTransformer'
    classifier = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=scope['backbone'],
            data_preprocessor=dict(num_classes=2, **scope['data_preprocessor']),
        )
    )
    classifier.init_weights()
    classifier.eval()
    pipeline = Compose(Config.fromfile(config).test_pipeline)
    inputs = [pipeline(dict(img_path=path, sample_idx=0)) for path in paths]
    batch = dict(
        inputs=[item['inputs'] for item in inputs],
        data_samples=[item['data_samples'] for item in inputs],
    )
    with torch.no_grad():
        elsewhere = classifier.extract_feat(classifier.data_preprocessor(batch)['inputs'])[-1]
    torch.testing.assert_close(elsewhere, features)


def longer(out):
    """What a crash leaves half written."""
    for name in NAMES:
        with open(out / f'{name}.part', 'ab') as file:
            file.write(b'half a row')


def gone(out):
    (out / f'{NAMES[0]}.part').unlink()


@pytest.mark.parametrize(('damage', 'resumed_at'), [(longer, 6), (gone, 0)])
def test_an_interrupted_export_goes_on(run, tmp_path, monkeypatch, damage, resumed_at):
    assert run(out='whole')[0] == 0
    calls, original = [], module._prototypes

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(module, '_prototypes', interrupted)
    status, said = run()
    assert status == 130 and 'the same command continues' in said.err
    out = tmp_path / 'out'
    assert not (out / 'embeddings.npy').exists() and not (out / 'embeddings.csv').exists()
    damage(out)
    status, said = run()
    assert status == 0 and ('continued at image 6' in said.out) == (resumed_at == 6)
    for name in NAMES:
        assert (out / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes(), name
    assert len(list(out.iterdir())) == len(NAMES)


def test_an_unfinished_export_of_something_else(run, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    state = dict(digest='0' * 64, images=3, rows=3, width=24, sizes=[416, 10, 10])
    (out / 'export.part.json').write_text(json.dumps(state))
    status, said = run()
    assert status == 1 and 'unfinished export of other images or of another' in said.err
    assert 'remove' in said.err


def test_nothing_is_overwritten_and_nothing_half_loaded(run, tmp_path, model):
    assert run()[0] == 0
    status, said = run()
    assert status == 1 and 'embeddings.npy exists: remove it or name another folder' in said.err
    state = {k: v for k, v in model.state_dict().items() if not k.startswith('target_neck')}
    torch.save(dict(state_dict=state), tmp_path / 'partial.pth')
    status, said = run(out='other', checkpoint=tmp_path / 'partial.pth')
    assert status == 1 and 'target_neck' in said.err and not (tmp_path / 'other').exists()
    status, said = run(out='other', checkpoint=tmp_path / 'gone.pth')
    assert status == 1 and 'gone.pth: no such file' in said.err


def test_no_image_can_be_decoded(run, folder):
    whole = {path: path.read_bytes() for path in folder.rglob('*.*g')}
    for path in whole:
        path.write_bytes(b'no image')
    status, said = run()
    assert status == 1 and 'none of 11 images can be decoded' in said.err
    # With good images the same command exports them.
    for path, content in whole.items():
        path.write_bytes(content)
    assert run()[0] == 0


@pytest.mark.parametrize('kind', ['file', 'below a file'])
def test_a_folder_that_cannot_be_written(run, tmp_path, kind):
    (tmp_path / 'taken').write_text('')
    out = 'taken' if kind == 'file' else 'taken/out'
    status, said = run(out=out)
    assert status == 1 and f'{out} cannot be written: ' in said.err
    assert 'name another folder' in said.err and 'Traceback' not in said.err


def test_a_full_disk(run, monkeypatch):
    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(module._Writer, 'write', full)
    status, said = run()
    assert status == 1 and 'out cannot be written: No space left on device: name' in said.err


def test_other_files_of_the_same_names_are_another_export(run, folder, tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module._Writer, 'finish', interrupted)
        assert run()[0] == 130
    Image.new('RGB', (50, 40)).save(folder / '0.png')
    status, said = run()
    assert status == 1 and 'unfinished export of other images' in said.err


@pytest.mark.parametrize('content', ['{"digest"', '[]', '{"digest": "0"}'])
def test_a_damaged_note(run, tmp_path, content):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'export.part.json').write_text(content)
    status, said = run()
    assert status == 1 and 'export.part.json is damaged: remove it to start anew' in said.err


def test_pipelines():
    fixed = [dict(type='LoadImage'), dict(type='PackInputs')]
    cfg = Config(dict(val_dataloader=dict(dataset=dict(dataset=dict(pipeline=fixed)))))
    assert test_pipeline(cfg) == fixed
    # Data that come as arrays have a pipeline that loads no file.
    assert test_pipeline(Config(dict(test_pipeline=fixed[1:]))) == fixed
    with pytest.raises(UserError, match='define test_pipeline'):
        test_pipeline(Config(dict(val_dataloader=None)))


test_pipeline.__test__ = False


def test_several_sizes_are_an_error(model, folder, tmp_path):
    from mmssl_prior.datasets import ImageFolder

    steps = [dict(type='LoadImage'), dict(type='PackInputs')]
    data = ImageFolder(str(folder), pipeline=steps, test_mode=True)
    with pytest.raises(UserError, match='images of several sizes or several views'):
        export_embeddings(model, data, tmp_path / 'out', progress=False)


def test_encoders_of_other_kinds():
    model = torch.nn.Module()
    cfg = dict(type='MSNViT', arch='vit-s/16', out_type='avg_featmap', with_cls_token=False)
    model.backbone = MODELS.build(cfg)
    scope = {}
    exec(encoder_config(model, cfg, 'a.pth'), scope)
    assert scope['backbone'] == dict(
        type='VisionTransformer',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        out_type='avg_featmap',
        with_cls_token=False,
        init_cfg=dict(type='Pretrained', checkpoint='a.pth', prefix='backbone.'),
    )
    conv = dict(type='MSNViT', arch='deit-tiny', img_size=32, patch_size=4, stem='conv')
    model.backbone = MODELS.build(conv)
    scope = {}
    exec(encoder_config(model, conv, 'a.pth'), scope)
    assert scope['custom_imports']['imports'] == ['mmssl_prior']
    scope['backbone'].pop('init_cfg')
    assert scope['backbone'] == conv


@pytest.mark.parametrize(
    ('backbone', 'pool', 'neck', 'imports'),
    [
        (dict(type='ResNet', depth=18), None, dict(type='GlobalAveragePooling'), False),
        (
            dict(type='Data2VecViT', arch=ARCH, img_size=32, patch_size=8),
            None,
            dict(type='GlobalAveragePooling'),
            True,
        ),
        (
            dict(type='TIMMBackbone', **TIMM),
            dict(type='TokenPool', mode='avg'),
            dict(type='TokenPool', mode='avg'),
            True,
        ),
    ],
    ids=['maps', 'tokens-as-map', 'tokens'],
)
def test_the_neck_that_a_head_needs(backbone, pool, neck, imports):
    """With it, the features are vectors, as in the evaluation."""
    model = torch.nn.Module()
    init_default_scope('mmpretrain')
    model.backbone = MODELS.build(backbone)
    scope = {}
    exec(encoder_config(model, backbone, 'a.pth', pool), scope)
    assert scope['neck'] == neck and ('custom_imports' in scope) == imports
    scope['backbone'].pop('init_cfg')
    assert scope['backbone'] == backbone and model.backbone.training
    elsewhere = MODELS.build(
        dict(type='ImageClassifier', backbone=scope['backbone'], neck=scope['neck'])
    )
    assert elsewhere.extract_feat(torch.zeros(2, 3, 32, 32))[-1].ndim == 2


def test_the_script(config, tmp_path):
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tools/export_embeddings.py'), str(config), 'gone.pth']
        + ['--data', str(tmp_path), '--out', str(tmp_path / 'out')],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 1
    assert result.stderr.startswith('error: ') and 'no image below' in result.stderr


def test_the_network_that_is_evaluated_is_the_one_to_use_elsewhere():
    """data2vec has a target network as MSN has, but evaluates the trained one."""
    model = MODELS.build(DATA2VEC)
    model.eval()
    scope = {}
    exec(encoder_config(model, DATA2VEC['backbone'], 'a.pth'), scope)
    assert scope['backbone']['init_cfg']['prefix'] == 'backbone.'
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.nn.init.zeros_(model.target_backbone.patch_embed.projection.weight)
        expected = model.extract_feat(image)
        torch.testing.assert_close(
            getattr(model, evaluated_backbone(model))(image)[-1].mean((2, 3)), expected
        )
