"""What is written opens in the library it is for, with the same features; and round trips."""

import importlib.util
import json

import pytest
import timm
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope, Registry
from mmpretrain.registry import MODELS
from safetensors import safe_open
from safetensors.torch import load_file

from mmssl_prior.conversion import FORMATS, MSN_LICENCE, read_encoder, write_encoder
from mmssl_prior.conversion.encoder_weights import build
from mmssl_prior.conversion.timm_layout import timm_arguments
from mmssl_prior.conversion.vit_layout import ViTSizes
from mmssl_prior.errors import UserError
from tests.conversion.networks import (
    HEADS,
    HIDDEN,
    SIZES,
    WIDTH,
    close,
    distinct,
    images,
    released_file,
    timm_vit,
)
from tests.smoke import ROOT


def has_transformers():
    """And one that works with this torch."""
    if importlib.util.find_spec('transformers') is None:
        return False
    from transformers.utils import is_torch_available

    return is_torch_available()


needs_transformers = pytest.mark.skipif(not has_transformers(), reason='transformers is not here')
needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(n) for n in ('onnx', 'onnxscript', 'onnxruntime')),
    reason='onnx, onnxscript or onnxruntime is not here',
)


@pytest.fixture(scope='module')
def vit():
    return timm_vit()


@pytest.fixture(scope='module')
def encoder(vit, tmp_path_factory):
    path = tmp_path_factory.mktemp('vit') / 'w.pth'
    torch.save(vit.state_dict(), path)
    return read_encoder(str(path), heads=HEADS)


@pytest.fixture
def released(tmp_path):
    path = tmp_path / 'vits16_800ep.pth.tar'
    networks, prototypes = released_file(path)
    return read_encoder(str(path), heads=HEADS), networks['target_encoder'], prototypes


class TestMMPretrain:
    def test_stock_backbone_by_init_cfg(self, encoder, vit, tmp_path):
        path = str(tmp_path / 'out' / 'w.pth')
        written = write_encoder(encoder, path, 'mmpretrain')
        assert written.difference == 0
        lines = {}
        exec(written.usage.split('\nor,')[0], lines)
        stock = MODELS.build(lines['backbone'])
        stock.init_weights()
        stock.eval()
        close(stock(images())[-1], vit(images()))
        again = read_encoder(path)
        assert again.state.keys() == encoder.state.keys()
        assert all(torch.equal(again.state[k], v) for k, v in encoder.state.items())
        assert (again.sizes, again.mean) == (encoder.sizes, encoder.mean)

    def test_other_image_sizes_are_those_of_our_backbone(self, encoder):
        """Ours and the stock class resample positions alike: bicubically, not antialiased."""
        ours = MODELS.build(dict(encoder.backbone, type='MSNViT'))
        ours.load_state_dict(encoder.state, strict=True)
        ours.eval()
        for size in (96, 320):
            close(ours(images(size))[-1].detach(), encoder.model()(images(size)))


class TestMSN:
    def test_trains_on_from_the_release(self, released, tmp_path):
        encoder, network, prototypes = released
        path = str(tmp_path / 'msn.pth')
        assert write_encoder(encoder, path, 'msn').difference == 0
        content = torch.load(path, weights_only=True)
        values = {}
        exec(content['meta']['cfg'], values)
        model = MODELS.build(values['model']).eval()
        model.load_state_dict(content['state_dict'], strict=True)
        features = model.extract_feat(images())
        close(features, network.vit(images()))
        close(model.target_neck(features), network(images()))
        assert torch.equal(model.head.prototypes, prototypes)
        # The release has no trained network: training goes on from the target.
        close(model.backbone(images())[-1], features)

    def test_fits_the_config_of_the_released_model(self, tmp_path):
        """Head and prototypes of vits16, behind a narrow encoder: ``load_from`` of that config."""
        path = tmp_path / 'vits16_800ep.pth.tar'
        released_file(path, prototypes=1024, projection=(2048, 256))
        write_encoder(read_encoder(str(path), heads=HEADS), str(tmp_path / 'msn.pth'), 'msn')
        model = Config.fromfile(ROOT / 'configs/msn/msn_vit-s16_in1k.py').model
        model.backbone.update(
            arch=dict(embed_dims=WIDTH, num_layers=2, num_heads=HEADS, feedforward_channels=HIDDEN),
            patch_size=16,
        )
        model.neck.in_channels = WIDTH
        content = torch.load(tmp_path / 'msn.pth', weights_only=True)
        build(model).load_state_dict(content['state_dict'], strict=True)

    def test_both_networks(self, tmp_path):
        path = tmp_path / 'msn.pth.tar'
        networks, _ = released_file(path, both=True)
        write_encoder(read_encoder(str(path), heads=HEADS), str(tmp_path / 'msn.pth'), 'msn')
        for network, key in (('target', 'target_encoder'), ('trained', 'encoder')):
            encoder = read_encoder(str(tmp_path / 'msn.pth'), network=network)
            close(encoder.model()(images()), networks[key].vit(images()))

    def test_needs_head_and_prototypes(self, encoder, tmp_path):
        with pytest.raises(UserError, match='no projection head and prototypes.*--to mmpretrain'):
            write_encoder(encoder, str(tmp_path / 'w.pth'), 'msn')


class TestTimm:
    @pytest.mark.parametrize('name', ['w.pth', 'w.safetensors'])
    def test_loads_strictly(self, encoder, vit, tmp_path, name):
        path = str(tmp_path / name)
        written = write_encoder(encoder, path, 'timm')
        values = dict(timm=timm, torch=torch)
        import safetensors.torch

        exec(written.usage, dict(values, safetensors=safetensors), values)
        close(values['model'].eval()(images()), vit(images()))
        assert written.difference <= 1e-5
        again = read_encoder(path, heads=HEADS)
        assert all(torch.equal(again.state[k], v) for k, v in encoder.state.items())

    @pytest.mark.parametrize(
        ('sizes', 'name', 'more'),
        [
            ((384, 12, 6, 1536, 16, 224), 'vit_small_patch16_224', {}),
            ((768, 12, 12, 3072, 4, 224), 'vit_base_patch16_224', dict(patch_size=4)),
            ((1024, 24, 16, 4096, 7, 224), 'vit_large_patch16_224', dict(patch_size=7)),
            ((1280, 32, 16, 5120, 14, 98), 'vit_huge_patch14_224', dict(img_size=98)),
        ],
    )
    def test_names_of_the_released_sizes(self, sizes, name, more):
        width, depth, heads, hidden, patch, image = sizes
        found = timm_arguments(ViTSizes(width, depth, heads, hidden, patch, (image, image)))
        assert found == (name, dict(num_classes=0, **more))
        assert timm.is_model(name)
        with torch.device('meta'):
            model = timm.create_model(name, num_classes=0, **more)
        assert (model.embed_dim, len(model.blocks)) == (width, depth)
        assert model.blocks[0].attn.num_heads == heads
        assert model.patch_embed.patch_size == (patch, patch)

    def test_other_image_sizes_differ(self, encoder):
        """timm resamples positions with antialiasing, ours without; the same at the own size."""
        model = timm_vit(dynamic_img_size=True)
        differences = {
            size: float((model(images(size)) - encoder.model()(images(size))).abs().max())
            for size in (96, 224, 448)
        }
        assert differences[224] <= 1e-5
        assert 1e-4 < differences[448] < differences[96] < 0.1

    def test_wrapped_model_of_timm(self, tmp_path):
        """What TIMMViT or TIMMBackbone trained is timm's own again."""
        model = timm_vit(init_values=0.5)
        cfg = dict(type='TIMMViT', model_name='vit_tiny_patch16_224', init_values=0.5, **SIZES)
        state = {f'target_backbone.timm_model.{k}': v for k, v in model.state_dict().items()}
        path = tmp_path / 'w.pth'
        text = f'model = {dict(type="MSN", backbone=cfg)!r}'
        torch.save(dict(state_dict=state, meta=dict(cfg=text)), path)
        encoder = read_encoder(str(path))
        written = write_encoder(encoder, str(tmp_path / 'out.pth'), 'timm')
        assert written.difference <= 1e-5
        with pytest.raises(UserError, match='transformers has no counterpart of TIMMViT'):
            write_encoder(encoder, str(tmp_path / 'hf'), 'hugging-face')

    def test_epsilon(self, encoder, tmp_path):
        sizes = ViTSizes(WIDTH, 2, HEADS, HIDDEN, 16, (224, 224), eps=1e-5)
        with pytest.raises(UserError, match='LayerNorms with eps 1e-05'):
            timm_arguments(sizes)


@needs_transformers
class TestHuggingFace:
    """With the real ViTMSNModel."""

    @pytest.fixture(scope='class')
    @staticmethod
    def theirs():
        from transformers import ViTMSNConfig, ViTMSNModel

        config = ViTMSNConfig(
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=HEADS,
            intermediate_size=HIDDEN,
        )
        return distinct(ViTMSNModel(config), seed=7)

    @staticmethod
    @torch.no_grad()
    def features(model, x, **kwargs):
        return model(pixel_values=x, **kwargs).last_hidden_state[:, 0]

    def test_written_folder_opens(self, encoder, vit, tmp_path):
        from transformers import AutoImageProcessor, AutoModel, ViTMSNModel
        from transformers.utils import logging

        logging.disable_progress_bar()
        folder = str(tmp_path / 'folder')
        assert write_encoder(encoder, folder, 'hugging-face').difference <= 1e-5
        model, info = ViTMSNModel.from_pretrained(folder, output_loading_info=True)
        assert not info['missing_keys'] and not info['unexpected_keys']
        close(self.features(model.eval(), images()), vit(images()))
        assert type(AutoModel.from_pretrained(folder)) is ViTMSNModel
        processor = AutoImageProcessor.from_pretrained(folder)
        pixels = torch.zeros(3, 300, 500, dtype=torch.uint8).numpy()
        inputs = processor(images=pixels, return_tensors='pt', input_data_format='channels_first')
        expected = -torch.tensor(encoder.mean) / torch.tensor(encoder.std)
        assert inputs['pixel_values'].shape == (1, 3, 224, 224)
        torch.testing.assert_close(
            inputs['pixel_values'].mean((0, 2, 3)), expected, rtol=1e-3, atol=1e-3
        )

    def test_read_folder_and_round_trip(self, theirs, tmp_path):
        folder, copy = str(tmp_path / 'theirs'), str(tmp_path / 'copy')
        theirs.save_pretrained(folder)
        encoder = read_encoder(folder)
        close(encoder.model()(images()), self.features(theirs, images()))
        write_encoder(encoder, copy, 'hugging-face')
        first, second = (load_file(f'{place}/model.safetensors') for place in (folder, copy))
        assert first.keys() == second.keys()
        assert all(torch.equal(second[k], v) for k, v in first.items())

    def test_classifier_and_state_dict(self, theirs, tmp_path):
        from transformers import ViTMSNForImageClassification

        classifier = ViTMSNForImageClassification(theirs.config)
        classifier.vit.load_state_dict(theirs.state_dict())
        classifier.save_pretrained(tmp_path / 'classifier')
        encoder = read_encoder(str(tmp_path / 'classifier'))
        assert encoder.notes == ['left out: classifier.bias, classifier.weight (2)']
        close(encoder.model()(images()), self.features(theirs, images()))
        torch.save(theirs.state_dict(), tmp_path / 'w.pth')
        encoder = read_encoder(str(tmp_path / 'w.pth'), heads=HEADS)
        close(encoder.model()(images()), self.features(theirs, images()))

    def test_other_image_sizes_are_resampled_alike(self, theirs, tmp_path):
        theirs.save_pretrained(tmp_path / 'theirs')
        model = read_encoder(str(tmp_path / 'theirs')).model()
        for size in (96, 320):
            expected = self.features(theirs, images(size), interpolate_pos_encoding=True)
            close(model(images(size)), expected)


def test_hugging_face_takes_square_images_only(tmp_path):
    torch.save(timm_vit(img_size=(96, 64)).state_dict(), tmp_path / 'w.pth')
    encoder = read_encoder(str(tmp_path / 'w.pth'), heads=HEADS, image=(96, 64))
    with pytest.raises(UserError, match='takes square images, this encoder 96x64 px'):
        write_encoder(encoder, str(tmp_path / 'folder'), 'hugging-face')


class TestResNet:
    @pytest.fixture(scope='class')
    @staticmethod
    def resnet(tmp_path_factory):
        """Ours as MMPretrain has it, in a checkpoint of a run."""
        cfg = dict(type='ResNet', depth=50, norm_cfg=dict(type='PortableSyncBatchNorm'))
        model = distinct(build(cfg))
        state = {f'target_backbone.{k}': v for k, v in model.state_dict().items()}
        path = tmp_path_factory.mktemp('resnet') / 'w.pth'
        text = f'model = {dict(type="MSN", backbone=cfg)!r}'
        torch.save(dict(state_dict=state, meta=dict(cfg=text)), path)
        return str(path), model

    def test_torchvision_and_timm(self, resnet, tmp_path):
        path, model = resnet
        encoder = read_encoder(path)
        pooled = model(images(64))[-1].mean((2, 3))
        encoder.image = (64, 64)
        write_encoder(encoder, str(tmp_path / 'tv.pth'), 'torchvision')
        theirs = torchvision.models.resnet50()
        theirs.fc = torch.nn.Identity()
        theirs.load_state_dict(torch.load(tmp_path / 'tv.pth', weights_only=True)['state_dict'])
        torch.testing.assert_close(theirs.eval()(images(64)), pooled, rtol=1e-5, atol=1e-5)
        write_encoder(encoder, str(tmp_path / 'timm.pth'), 'timm')
        theirs = timm.create_model('resnet50', num_classes=0)
        theirs.load_state_dict(torch.load(tmp_path / 'timm.pth', weights_only=True)['state_dict'])
        torch.testing.assert_close(theirs.eval()(images(64)), pooled, rtol=1e-5, atol=1e-5)
        again = read_encoder(str(tmp_path / 'tv.pth'))
        assert again.backbone == dict(type='ResNet', depth=50)

    def test_other_backbones(self, resnet, encoder, tmp_path):
        path, _ = resnet
        caffe = read_encoder(path)
        caffe.backbone['style'] = 'caffe'
        for format in ('torchvision', 'timm', 'hugging-face'):
            with pytest.raises(UserError, match='counterpart of'):
                write_encoder(caffe, str(tmp_path / 'w'), format)
        with pytest.raises(UserError, match='plain ResNets only, this is VisionTransformer'):
            write_encoder(encoder, str(tmp_path / 'w.pth'), 'torchvision')


class TestExport:
    """With a batch of another size than that which was traced."""

    @needs_onnx
    def test_onnx(self, encoder, vit, tmp_path):
        import onnxruntime

        path = str(tmp_path / 'w.onnx')
        assert write_encoder(encoder, path, 'onnx').difference <= 1e-5
        session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
        assert session.get_inputs()[0].shape[1:] == [3, 224, 224]
        for batch in (1, 5):
            x = images(batch=batch)
            (features,) = session.run(None, dict(images=x.numpy()))
            close(torch.from_numpy(features), vit(x))
        meta = session.get_modelmeta().custom_metadata_map
        assert meta['licence'] == 'not stated in the source'
        assert json.loads(meta['normalisation'])['mean'] == list(encoder.mean)

    def test_program(self, encoder, vit, tmp_path):
        path = str(tmp_path / 'w.pt2')
        assert write_encoder(encoder, path, 'torch-export').difference <= 1e-5
        extra = {'mmssl_prior.json': ''}
        program = torch.export.load(path, extra_files=extra).module()
        for batch in (1, 5):
            close(program(images(batch=batch)), vit(images(batch=batch)))
        assert json.loads(extra['mmssl_prior.json'])['source'] == 'w.pth'

    def test_torchscript_of_a_backbone_that_is_ours(self, tmp_path):
        """A convolutional stem and pooled tokens have a counterpart nowhere else."""
        arch = dict(embed_dims=WIDTH, num_layers=1, num_heads=HEADS, feedforward_channels=HIDDEN)
        cfg = dict(type='MSNViT', arch=arch, img_size=32, patch_size=4, stem='conv')
        cfg |= dict(with_cls_token=False, out_type='avg_featmap')
        model = distinct(MODELS.build(dict(cfg)))
        text = f'model = {dict(type="MSN", backbone=cfg)!r}'
        state = {f'target_backbone.{k}': v for k, v in model.state_dict().items()}
        torch.save(dict(state_dict=state, meta=dict(cfg=text)), tmp_path / 'w.pth')
        encoder = read_encoder(str(tmp_path / 'w.pth'))
        path = str(tmp_path / 'w.ts')
        assert write_encoder(encoder, path, 'torchscript').difference <= 1e-5
        traced = torch.jit.load(path)
        for batch in (1, 5):
            close(traced(images(32, batch)), model(images(32, batch))[-1])
        with pytest.raises(UserError, match='timm has no counterpart of MSNViT.*--to onnx'):
            write_encoder(encoder, str(tmp_path / 't.pth'), 'timm')


def test_backbone_in_another_repository(encoder, vit, tmp_path):
    """As a sibling of MMPretrain, MMSegmentation say, names it: maps of several blocks."""
    write_encoder(encoder, str(tmp_path / 'w.pth'), 'mmpretrain')
    elsewhere = Registry('model', scope='elsewhere', parent=MMENGINE_MODELS, locations=[])
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'w.pth'), prefix='backbone.')
    with DefaultScope.overwrite_default_scope('elsewhere'):
        backbone = elsewhere.build(
            dict(
                encoder.backbone,
                type='mmpretrain.VisionTransformer',
                out_type='featmap',
                out_indices=[0, 1],
                init_cfg=init_cfg,
            )
        )
        backbone.init_weights()
    backbone.eval()
    maps = [out.detach() for out in backbone(images((96, 128)))]
    assert [tuple(out.shape) for out in maps] == [(2, WIDTH, 6, 8)] * 2
    tokens = vit.forward_features(images())[:, 1:]
    close(backbone(images())[-1].detach().flatten(2).transpose(1, 2), tokens)


def test_libraries_that_are_missing_are_named(encoder, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name: None if name == 'onnxscript' else find(name)
    )
    with pytest.raises(UserError, match='--to onnx needs onnxscript.*: pip install onnxscript'):
        write_encoder(encoder, str(tmp_path / 'w.onnx'), 'onnx')


def test_licence_goes_with_the_weights(released, tmp_path):
    """Into every file that is written, and on from file to file."""
    encoder, _, _ = released
    assert encoder.licence == MSN_LICENCE

    def stated(name, format):
        path = tmp_path / name
        write_encoder(encoder, str(path), format)
        if format == 'hugging-face':
            card = (path / 'README.md').read_text()
            assert 'license: cc-by-nc-4.0' in card and 'no commercial use' in card
            path = path / 'model.safetensors'
        if path.suffix == '.safetensors':
            with safe_open(path, 'pt') as file:
                return file.metadata()['licence']
        if format == 'torch-export':
            extra = {'mmssl_prior.json': ''}
            torch.export.load(path, extra_files=extra)
            return json.loads(extra['mmssl_prior.json'])['licence']
        if format == 'torchscript':
            extra = {'mmssl_prior.json': ''}
            torch.jit.load(path, _extra_files=extra)
            return json.loads(extra['mmssl_prior.json'])['licence']
        return torch.load(path, weights_only=True)['meta']['licence']

    for name, format in [
        ('a.pth', 'mmpretrain'),
        ('b.pth', 'msn'),
        ('c.pth', 'timm'),
        ('d.safetensors', 'timm'),
        ('e', 'hugging-face'),
        ('f.pt2', 'torch-export'),
        ('g.ts', 'torchscript'),
    ]:
        assert stated(name, format) == MSN_LICENCE, format
    for name in ('a.pth', 'b.pth', 'c.pth', 'd.safetensors', 'e'):
        assert read_encoder(str(tmp_path / name), heads=HEADS).licence == MSN_LICENCE


def test_nothing_is_overwritten(encoder, tmp_path):
    (tmp_path / 'w.pth').write_text('mine')
    for name in ('w.pth', '.'):
        with pytest.raises(UserError, match='exists: name another, or remove it'):
            write_encoder(encoder, str(tmp_path / name), 'timm')
    with pytest.raises(UserError, match=f'format must be one of {", ".join(FORMATS)}, got'):
        write_encoder(encoder, str(tmp_path / 'w2.pth'), 'other')


def test_a_mistake_of_the_conversion_is_seen(encoder, tmp_path, monkeypatch):
    """The features of what was written are compared, and a difference is an error."""
    from mmssl_prior.conversion import timm_layout

    swapped = [
        (pattern, template.replace('norm1', 'x').replace('norm2', 'norm1').replace('x', 'norm2'))
        for pattern, template in timm_layout.TO
    ]
    monkeypatch.setattr(timm_layout, 'TO', swapped)
    with pytest.raises(RuntimeError, match='features differ .* a mistake of the conversion'):
        write_encoder(encoder, str(tmp_path / 'w.pth'), 'timm')


def test_place_that_cannot_be_written(encoder, tmp_path, monkeypatch):
    """One line, and nothing half written stays."""
    (tmp_path / 'file').write_text('mine')
    for name, reason in (('file/x/w.pth', 'Not a directory'), ('n' * 300, 'File name too long')):
        with pytest.raises(UserError, match=rf'could not be written \({reason}\); name another'):
            write_encoder(encoder, str(tmp_path / name), 'mmpretrain')

    def full(content, file):
        file.write(b'half')
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(torch, 'save', full)
        with pytest.raises(UserError, match=r'w.pth could not be written \(No space left'):
            write_encoder(encoder, str(tmp_path / 'w.pth'), 'mmpretrain')
    monkeypatch.setattr('os.access', lambda *_: False)
    with pytest.raises(UserError, match=r'w.ts could not be written \(Permission denied\)'):
        write_encoder(encoder, str(tmp_path / 'w.ts'), 'torchscript')
    assert [path.name for path in tmp_path.iterdir()] == ['file']
