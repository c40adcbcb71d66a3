"""Encoders of others read here: their features to 1e-5, and what is refused."""

import json

import pytest
import timm
import torch
import torchvision
from mmpretrain.registry import MODELS
from safetensors.torch import save_file

from mmssl_prior.conversion import MSN_LICENCE, read_encoder
from mmssl_prior.errors import UserError
from tests.conversion.networks import (
    DEPTH,
    HEADS,
    HIDDEN,
    WIDTH,
    close,
    distinct,
    images,
    released_file,
    timm_vit,
)


@pytest.fixture(scope='module')
def vit():
    return timm_vit()


@pytest.fixture
def file(tmp_path, vit):
    """Writes what is given, by default the state of the ViT with some changes."""

    def write(content=None, name='w.pth', **changes):
        if content is None:
            content = {k: v for k, v in vit.state_dict().items() if changes.get(k, v) is not None}
            content |= {k: v for k, v in changes.items() if v is not None}
        path = tmp_path / name
        save_file(content, path) if name.endswith('.safetensors') else torch.save(content, path)
        return str(path)

    return write


@pytest.mark.parametrize(
    'wrap',
    [
        lambda state: state,
        lambda state: {'model': state, 'args': None},
        lambda state: {'state_dict': {f'module.{k}': v for k, v in state.items()}},
    ],
)
def test_timm(file, vit, wrap):
    encoder = read_encoder(file(wrap(vit.state_dict())), heads=HEADS)
    close(encoder.model()(images()), vit(images()))
    assert str(encoder.sizes) == (
        'ViT of width 48, 2 blocks of 4 heads, patches of 16 px, images of 224x224 px'
    )
    assert encoder.backbone['type'] == 'VisionTransformer' and encoder.licence == ''


def test_timm_by_name_knows_its_heads(tmp_path):
    """Width / 64 would be wrong: this one has 5 of 80."""
    name = 'vit_tiny_patch16_224'
    model = distinct(timm.create_model(name, num_classes=10))
    torch.save(model.state_dict(), tmp_path / 'w.pth')
    encoder = read_encoder(f'timm:{name}={tmp_path / "w.pth"}')
    assert encoder.sizes.heads == 3
    assert encoder.notes[0] == 'left out: head.weight, head.bias (2)'
    close(encoder.model()(images()), model.forward_features(images())[:, 0])


def test_heads_that_are_assumed_are_noted(file):
    encoder = read_encoder(file())
    assert encoder.sizes.heads == 1
    assert 'how many heads there are: 1 (width / 64) assumed' in ' '.join(encoder.notes)


def test_safetensors_and_other_geometries(file):
    """Patches of 14 on 98x140 px, RGB and depth."""
    model = timm_vit(patch_size=14, img_size=(98, 140), in_chans=4)
    path = file(model.state_dict(), 'w.safetensors')
    with pytest.raises(
        UserError, match=r'w.safetensors: pos_embed has shape \(1, 71, 48\): 70 pat'
    ):
        read_encoder(path, heads=HEADS)
    encoder = read_encoder(path, heads=HEADS, image=(98, 140))
    x = torch.randn(2, 4, 98, 140, generator=torch.Generator().manual_seed(0))
    close(encoder.model()(x), model(x))
    assert encoder.backbone['in_channels'] == 4 and encoder.backbone['img_size'] == (98, 140)


def test_timm_without_a_position_for_the_class_token(file):
    model = timm_vit(no_embed_class=True)
    encoder = read_encoder(file(model.state_dict()), heads=HEADS)
    close(encoder.model()(images()), model(images()))


class TestRefused:
    def refuses(self, path, match, **kwargs):
        with pytest.raises(UserError, match=match) as caught:
            read_encoder(path, **{'heads': HEADS, **kwargs})
        assert '\n' not in str(caught.value)

    def test_missing_weight(self, file):
        path = file(**{'blocks.1.attn.qkv.bias': None})
        self.refuses(path, r'w.pth: blocks.1.attn.qkv.bias: expected shape \(144,\), it is missing')
        self.refuses(file(cls_token=None), r'cls_token: expected shape \(1, 1, 48\), it is missing')
        self.refuses(file(pos_embed=None), 'pos_embed is missing, so this is not a whole plain')

    def test_shape(self, file):
        path = file(**{'blocks.0.norm1.weight': torch.zeros(47)})
        self.refuses(path, r'blocks.0.norm1.weight: expected shape \(48,\), it is \(47,\)')
        path = file(**{'patch_embed.proj.weight': torch.zeros(48, 3 * 256)})
        self.refuses(path, r'patch_embed.proj.weight has shape \(48, 768\), expected 4 dimensions')
        path = file(**{'patch_embed.proj.weight': torch.zeros(48, 3, 16, 8)})
        self.refuses(path, 'patches of 16x8 px; only square')

    @pytest.mark.parametrize(
        'kwargs',
        [
            dict(init_values=0.1),  # layer scale
            dict(qk_norm=True),
            dict(pre_norm=True),
            dict(reg_tokens=1),
            dict(global_pool='avg'),  # fc_norm
        ],
        ids=lambda kwargs: next(iter(kwargs)),
    )
    def test_other_architectures(self, file, kwargs):
        """What would change the output is never left out."""
        path = file(timm_vit(**kwargs).state_dict())
        self.refuses(path, r'has no place in a plain|expected shape|are no square|it is missing')

    def test_heads(self, file):
        self.refuses(file(), '5 heads do not divide the width 48; .*--heads N', heads=5)
        self.refuses('timm:vit_huge_gone=w.pth', 'expected timm:NAME=FILE', heads=None)

    def test_other_files(self, file, tmp_path):
        self.refuses(file({'a.weight': torch.ones(2)}), 'of no layout that is known .*has a.weight')
        self.refuses(file({'epoch': 1}), 'holds no tensors')
        self.refuses(str(tmp_path / 'gone.pth'), 'gone.pth: no such file')
        self.refuses(str(tmp_path / 'gone.safetensors'), 'gone.safetensors: no such file')
        (tmp_path / 'cut.safetensors').write_bytes(b'12345678{')
        self.refuses(str(tmp_path / 'cut.safetensors'), 'not a readable safetensors file')
        self.refuses(file(), 'there is one network in it', network='trained')
        self.refuses(file(), "must be one of .*got 'other'", network='other')

    def test_code(self, file, capsys):
        class Harmful:
            def __reduce__(self):
                return print, ('ran',)

        path = file({'state_dict': {'w': torch.ones(1)}, 'more': Harmful()})
        self.refuses(path, r'w.pth: refused, as it holds more than weights .*\(.*print\); if you')
        assert 'ran' not in capsys.readouterr().out


class TestRelease:
    """The layout of facebookresearch/msn; the files are made here, none is in the tree."""

    def test_encoder_head_and_prototypes(self, tmp_path):
        networks, prototypes = released_file(tmp_path / 'msn.pth.tar')
        encoder = read_encoder(str(tmp_path / 'msn.pth.tar'), heads=HEADS)
        target = networks['target_encoder']
        close(encoder.model()(images()), target.vit(images()))
        assert torch.equal(encoder.prototypes, prototypes)
        neck = MODELS.build(
            dict(type='MSNNeck', in_channels=WIDTH, hid_channels=64, out_channels=32)
        )
        neck.load_state_dict(encoder.neck, strict=True)
        close(neck.eval()(encoder.model()(images())), target(images()))
        assert encoder.licence == MSN_LICENCE and 'CC BY-NC 4.0' in MSN_LICENCE

    def test_released_models_by_shape(self, tmp_path):
        """Patch sizes 16, 4 and 7 and their widths; heads are width / 64."""
        cases = [('vits16', 384, 16, 6), ('vitb4', 768, 4, 12), ('vitl7', 1024, 7, 16)]
        for name, width, patch, heads in cases:
            path = tmp_path / f'{name}.pth.tar'
            released_file(
                path, embed_dim=width, num_heads=1, patch_size=patch, mlp_ratio=1, depth=1
            )
            sizes = read_encoder(str(path)).sizes
            assert (sizes.width, sizes.patch, sizes.heads, sizes.image) == (
                width,
                patch,
                heads,
                (224, 224),
            )

    def test_trained_network(self, tmp_path):
        path = str(tmp_path / 'msn.pth.tar')
        networks, _ = released_file(path, both=True)
        encoder = read_encoder(path, network='trained', heads=HEADS)
        close(encoder.model()(images()), networks['encoder'].vit(images()))
        released_file(path)
        with pytest.raises(UserError, match=r"no trained network .*'encoder'.*leave out --network"):
            read_encoder(path, network='trained')

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (
                ('target_encoder', 'module.fc.bn1.running_var', None),
                'fc.bn1.running_var is missing',
            ),
            (
                ('target_encoder', 'module.fc.fc2.bias', torch.ones(3)),
                r'fc2.bias: expected \(64,\)',
            ),
            (
                ('target_encoder', 'module.norm.bias', None),
                'target_encoder.module.norm.bias: expected',
            ),
            (('target_encoder', 'module.fc.odd', torch.ones(3)), r'fc.odd \(3,\) has no place'),
            (('prototypes', torch.ones(12, 31)), r'prototypes: expected shape \(K, 32\)'),
        ],
    )
    def test_incomplete(self, tmp_path, change, message):
        path = tmp_path / 'msn.pth.tar'
        released_file(path)
        content = torch.load(path, weights_only=True)
        if len(change) == 3:
            content[change[0]][change[1]] = change[2]
        else:
            content[change[0]] = change[1]
        if change[-1] is None:
            del content[change[0]][change[1]]
        torch.save(content, path)
        with pytest.raises(UserError, match=f'msn.pth.tar: .*{message}'):
            read_encoder(str(path), heads=HEADS)

    def test_parts_that_are_absent_are_noted(self, tmp_path):
        path = tmp_path / 'msn.pth.tar'
        released_file(path)
        content = torch.load(path, weights_only=True)
        del content['prototypes']
        content['target_encoder'] = {
            ('module.pred.fc1.weight' if '.fc.fc1.weight' in k else k): v
            for k, v in content['target_encoder'].items()
            if '.fc.' not in k or '.fc.fc1.weight' in k
        }
        torch.save(content, path)
        encoder = read_encoder(str(path), heads=HEADS)
        assert encoder.notes == [
            'left out of target_encoder: the predictor (pred.fc1.weight)',
            'no projection head in target_encoder (fc.*)',
            'no prototypes in it',
        ]


def checkpoint(path, model_cfg, **sections):
    """A checkpoint of MMEngine: weights, and the config as text."""
    model = MODELS.build(dict(model_cfg))
    distinct(model)
    text = f'model = {model_cfg!r}\n' + ''.join(f'{k} = {v!r}\n' for k, v in sections.items())
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=text, epoch=1)), path)
    return model.eval()


ARCH = dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=HIDDEN)
MEAN, STD = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]


class TestMMEngine:
    def test_stock_mmpretrain(self, tmp_path):
        cfg = dict(
            type='ImageClassifier',
            backbone=dict(type='VisionTransformer', arch=ARCH, img_size=64, patch_size=8),
            head=dict(type='VisionTransformerClsHead', num_classes=3, in_channels=WIDTH),
        )
        path = tmp_path / 'w.pth'
        model = checkpoint(path, cfg, data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=True))
        encoder = read_encoder(str(path))
        assert (encoder.sizes.heads, encoder.image) == (HEADS, (64, 64))
        assert (encoder.mean, encoder.std) == (tuple(MEAN), tuple(STD))
        close(encoder.model()(images(64)), model.backbone(images(64))[-1])

    def test_ours_both_networks(self, tmp_path):
        cfg = dict(
            type='MSN',
            backbone=dict(type='MSNViT', arch=ARCH, img_size=64, patch_size=8),
            neck=dict(type='MSNNeck', in_channels=WIDTH, hid_channels=32, out_channels=16),
            head=dict(type='PMSNHead', num_prototypes=8, embed_dim=16),
        )
        path = str(tmp_path / 'w.pth')
        model = checkpoint(path, cfg)
        target, trained = (read_encoder(path, network=n) for n in ('target', 'trained'))
        close(target.model()(images(64)), model.target_backbone(images(64))[-1])
        close(trained.model()(images(64)), model.backbone(images(64))[-1])
        assert target.backbone['type'] == 'VisionTransformer'
        assert 'does not say how images are normalised' in target.notes[0]

    def test_backbones_that_are_no_plain_vit(self, tmp_path):
        """They keep their config, and pool as their model does."""
        stem = dict(type='MSNViT', arch=ARCH, img_size=32, patch_size=4, stem='conv')
        wrapped = dict(type='TIMMViT', model_name='vit_tiny_patch16_224', img_size=64, depth=1)
        cases = {
            'conv': (dict(stem, with_cls_token=False, out_type='avg_featmap'), None, 32, WIDTH),
            'timm': (wrapped, dict(type='TokenPool', mode='avg'), 64, 192),
        }
        for name, (backbone, pool, size, width) in cases.items():
            cfg = dict(
                type='MSN',
                backbone=backbone,
                neck=dict(type='MSNNeck', in_channels=width, hid_channels=32, out_channels=16),
                head=dict(type='PMSNHead', num_prototypes=8, embed_dim=16),
                pool=pool,
                patch_drop=0,
            )
            path = tmp_path / f'{name}.pth'
            model = checkpoint(path, cfg)
            encoder = read_encoder(str(path))
            assert encoder.sizes is None and encoder.image == (size, size)
            close(encoder.model()(images(size)), model.extract_feat(images(size)))

    def test_config_of_a_file_without_one(self, tmp_path):
        stock = MODELS.build(dict(type='VisionTransformer', arch=ARCH, img_size=64, patch_size=8))
        distinct(stock)
        path = tmp_path / 'w.pth'
        torch.save({f'backbone.{k}': v for k, v in stock.state_dict().items()}, path)
        config = dict(model=dict(backbone=dict(type='VisionTransformer', arch=ARCH, img_size=32)))
        with pytest.raises(
            UserError, match=r'pos_embed: expected shape \(1, 17, 48\), it is \(1, 65'
        ):
            read_encoder(str(path), config)
        config['model']['backbone']['img_size'] = 64
        close(read_encoder(str(path), config).model()(images(64)), stock(images(64))[-1])
        config['model']['backbone']['type'] = 'GoneViT'
        with pytest.raises(UserError, match="backbone of type 'GoneViT', which is in no registry"):
            read_encoder(str(path), config)


class TestResNet:
    def test_torchvision(self, tmp_path):
        model = distinct(torchvision.models.resnet18())
        state = {k: v for k, v in model.state_dict().items() if 'num_batches' not in k}
        torch.save(state, tmp_path / 'w.pth')
        encoder = read_encoder(str(tmp_path / 'w.pth'))
        model.fc = torch.nn.Identity()
        assert encoder.backbone == dict(type='ResNet', depth=18)
        close(encoder.model()(images(64)), model(images(64)))

    def test_refused(self, tmp_path):
        state = torchvision.models.resnet18().state_dict()
        path = tmp_path / 'w.pth'
        for change, message in [
            (dict(drop='layer2.0.bn1.weight'), 'misses layer2.0.bn1.weight: another ResNet'),
            (dict(add='layer2.0.se.weight'), 'has, beside .* layer2.0.se.weight: another'),
            (dict(add='layer2.2.conv1.weight'), r'stages of \(2, 3, 2, 2\) blocks are no ResNet'),
            (dict(drop='conv1.weight'), r'conv1.weight: expected shape \(64, 3, 7, 7\)'),
        ]:
            changed = {k: v for k, v in state.items() if k != change.get('drop')}
            changed |= {change['add']: torch.ones(1)} if 'add' in change else {}
            torch.save(changed, path)
            with pytest.raises(UserError, match=message):
                read_encoder(str(path))


class TestFolder:
    """Of Hugging Face, without transformers: what is wrong with its files."""

    @pytest.fixture
    def folder(self, tmp_path):
        from mmssl_prior.conversion import write_encoder

        torch.save(timm_vit().state_dict(), tmp_path / 'w.pth')
        encoder = read_encoder(str(tmp_path / 'w.pth'), heads=HEADS)
        write_encoder(encoder, str(tmp_path / 'folder'), 'hugging-face')
        return tmp_path / 'folder'

    def edit(self, folder, **changes):
        config = json.loads((folder / 'config.json').read_text())
        (folder / 'config.json').write_text(json.dumps(config | changes))

    def test_refused(self, folder):
        def refuses(match):
            with pytest.raises(UserError, match=match):
                read_encoder(str(folder))

        self.edit(folder, num_attention_heads=5)
        refuses('5 heads do not divide the width 48')
        self.edit(folder, hidden_act='relu', num_attention_heads=HEADS)
        refuses("hidden_act is 'relu'; only gelu")
        self.edit(folder, model_type='vit')
        refuses("model_type is 'vit', expected 'vit_msn'")
        (folder / 'config.json').write_text('[]')
        refuses('config.json: expected an object, got list')
        (folder / 'config.json').write_text('{')
        refuses('config.json: not a readable JSON file')
        (folder / 'config.json').write_text('{"model_type": "vit_msn"}')
        (folder / 'model.safetensors').unlink()
        refuses('neither model.safetensors nor pytorch_model.bin is in it')

    def test_epsilon_and_card(self, folder):
        self.edit(folder, layer_norm_eps=1e-3)
        card = (folder / 'README.md').read_text()
        (folder / 'README.md').write_text(card.replace('license: unknown', 'license: apache-2.0'))
        encoder = read_encoder(str(folder))
        assert encoder.backbone['norm_cfg'] == dict(type='LN', eps=1e-3)
        assert encoder.licence == 'apache-2.0, says the model card of the source'
