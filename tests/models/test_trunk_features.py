"""Features of one forward pass against each backbone's own outputs."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.registry import MODELS

from mmssl_prior.errors import UserError
from mmssl_prior.models import trunk_features

ARCH = dict(embed_dims=24, num_layers=5, num_heads=2, feedforward_channels=48)
VIT = dict(arch=ARCH, img_size=16, patch_size=4)
NAMES = ['cls', 'cls4', 'pool', 'pool4', 'cls_raw', 'cls4_raw', 'pool_raw']


def build(**cfg):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = MODELS.build(cfg)
    backbone.init_weights()
    # Norms that do something, and differ from each other.
    with torch.no_grad():
        for param in backbone.parameters():
            if param.ndim == 1:
                param.add_(0.3 * torch.randn_like(param))
    backbone.eval()
    return backbone


@pytest.fixture(scope='module')
def images():
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('kind', ['VisionTransformer', 'MSNViT'])
@pytest.mark.parametrize('out_type', ['cls_token', 'featmap'])
def test_vision_transformer(kind, out_type, images):
    """Against the stock class that gives all tokens of all blocks, the last one normed or not."""
    vit = build(type=kind, **VIT, out_type=out_type)
    raw = VisionTransformer(**VIT, out_type='raw', out_indices=[1, 2, 3, 4], final_norm=False)
    raw.load_state_dict(vit.state_dict(), strict=False)
    with torch.no_grad():
        raw.eval()
        blocks = raw(images)
        normed = [vit.ln1(tokens) for tokens in blocks]
    features = trunk_features(vit, images, NAMES)
    expected = dict(
        cls=normed[3][:, 0],
        cls4=torch.cat([normed[0][:, 0], normed[1][:, 0], normed[2][:, 0], normed[3][:, 0]], 1),
        pool=normed[3][:, 1:].mean(1),
        pool4=torch.cat([tokens[:, 1:].mean(1) for tokens in normed], 1),
        cls_raw=blocks[3][:, 0],
        cls4_raw=torch.cat([tokens[:, 0] for tokens in blocks], 1),
        pool_raw=blocks[3][:, 1:].mean(1),
    )
    assert features.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(features[name], value, msg=name)
    with torch.no_grad():
        own = vit(images)[-1]
    if out_type == 'cls_token':
        assert torch.equal(features['cls'], own)
    assert not any(module._forward_hooks for module in vit.modules())


@pytest.mark.parametrize('kind', ['TIMMViT', 'TIMMBackbone'])
def test_timm_transformer(kind, images):
    """Against timm's own intermediate layers."""
    vit = build(
        type=kind,
        model_name='vit_tiny_patch16_224',
        img_size=16,
        patch_size=4,
        embed_dim=24,
        depth=5,
        num_heads=2,
    )
    features = trunk_features(vit, images, NAMES)
    with torch.no_grad():
        for norm, suffix in ((True, ''), (False, '_raw')):
            layers = vit.timm_model.get_intermediate_layers(
                images, n=4, return_prefix_tokens=True, norm=norm
            )
            cls = [prefix[:, 0] for _, prefix in layers]
            torch.testing.assert_close(features[f'cls{suffix}'], cls[-1])
            torch.testing.assert_close(features[f'cls4{suffix}'], torch.cat(cls, 1))
            torch.testing.assert_close(features[f'pool{suffix}'], layers[-1][0].mean(1))


def test_final_norm_of_a_timm_model_that_pools(images):
    """Its norm comes after pooling and is applied to each token here."""
    vit = build(
        type='TIMMBackbone',
        model_name='vit_tiny_patch16_224',
        img_size=16,
        patch_size=4,
        embed_dim=24,
        depth=2,
        num_heads=2,
        class_token=False,
        global_pool='avg',
        fc_norm=True,
    )
    features = trunk_features(vit, images, ['pool', 'pool_raw'])
    with torch.no_grad():
        tokens = vit.timm_model.forward_features(images)
        expected = vit.timm_model.fc_norm(tokens).mean(1)
    torch.testing.assert_close(features['pool'], expected)
    torch.testing.assert_close(features['pool_raw'], tokens.mean(1))
    with pytest.raises(UserError, match="no class token; choose 'pool'"):
        trunk_features(vit, images, ['cls'])


def test_resnet_and_vissl_windows():
    net = build(type='ResNet', depth=18, base_channels=4, stem_channels=4)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    features = trunk_features(net, images, ['avg', 'avg6x6'])
    with torch.no_grad():
        (map_,) = net(images)
    assert map_.shape == (2, 32, 7, 7)
    torch.testing.assert_close(features['avg'], map_.mean((2, 3)))
    windows = [map_[:, :, i : i + 6, j : j + 6].mean((2, 3)) for i in (0, 1) for j in (0, 1)]
    torch.testing.assert_close(features['avg6x6'], torch.stack(windows, 2).flatten(1))
    with pytest.raises(UserError, match='the last map is 1 x 1, smaller than the window'):
        trunk_features(net, images[:, :, :32, :32], ['avg6x6'])


def test_channels_last_and_pooled_outputs():
    class Pooled(torch.nn.Module):
        def forward(self, x):
            return (x.mean((2, 3)),)

    images = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(
        trunk_features(Pooled(), images, ['avg'])['avg'], images.mean((2, 3))
    )

    swin = torch.nn.Module()
    swin.timm_model = torch.nn.Module()
    swin.timm_model.output_fmt = 'NHWC'
    swin.forward = lambda x: (x.permute(0, 2, 3, 1),)
    torch.testing.assert_close(trunk_features(swin, images, ['avg'])['avg'], images.mean((2, 3)))


def test_bad_features(images):
    vit = build(type='VisionTransformer', **VIT)
    for names, message in (
        (['clss'], "unknown feature 'clss': choose 'cls'"),
        (['cls0'], 'unknown feature'),
        (['avg6'], 'unknown feature'),
        ([], 'name at least one feature'),
        (['cls6'], 'VisionTransformer has 5 blocks, not 6'),
        (['avg6x6'], r'the backbone gives shape \(3, 24\), not a map'),
    ):
        with pytest.raises(UserError, match=message):
            trunk_features(vit, images, names)
    normless = build(type='VisionTransformer', **VIT, final_norm=False)
    with pytest.raises(UserError, match="no final norm: choose .* '_raw'"):
        trunk_features(normless, images, ['cls'])
    assert trunk_features(normless, images, ['cls_raw'])['cls_raw'].shape == (3, 24)
    resnet = build(type='ResNet', depth=18, base_channels=4, stem_channels=4)
    with pytest.raises(UserError, match="ResNet is no transformer with tokens: choose 'avg'"):
        trunk_features(resnet, images, ['cls'])
