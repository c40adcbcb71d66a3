"""Patch dropping, crop sizes, initialisation and state keys of MSNViT."""

import pytest
import torch
from mmpretrain.models.backbones import VisionTransformer

from mmssl_prior.models import MSNViT

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=48)


def build(**kwargs):
    torch.manual_seed(0)
    vit = MSNViT(**dict(dict(arch=ARCH, img_size=32, patch_size=8), **kwargs))
    vit.init_weights()
    vit.eval()
    return vit


def test_without_dropping_it_is_the_stock_transformer():
    vit = build()
    stock = VisionTransformer(arch=ARCH, img_size=32, patch_size=8)
    stock.eval()
    stock.load_state_dict(vit.state_dict())
    for size in (32, 24, 48):
        x = torch.randn(2, 3, size, size)
        torch.testing.assert_close(vit(x)[0], stock(x)[0])


@pytest.mark.parametrize('out_type', ['cls_token', 'avg_featmap', 'raw'])
def test_dropping_nothing_changes_nothing(out_type):
    vit, x = build(out_type=out_type), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(vit(x, keep=torch.arange(16))[0], vit(x)[0])


def test_tokens_kept_are_the_class_token_and_those_named():
    """A layer-free transformer returns the tokens themselves."""
    vit, x = build(out_type='raw'), torch.randn(2, 3, 32, 32)
    vit.layers, vit.out_indices = torch.nn.ModuleList([torch.nn.Identity()]), [0]
    vit.final_norm = False
    whole = vit(x)[0]
    keep = torch.tensor([0, 3, 15])
    torch.testing.assert_close(vit(x, keep=keep)[0], whole[:, [0, 1, 4, 16]])
    rows = torch.tensor([[0, 1], [14, 15]])
    expected = torch.stack([whole[0, [0, 1, 2]], whole[1, [0, 15, 16]]])
    torch.testing.assert_close(vit(x, keep=rows)[0], expected)


def test_without_class_token():
    vit = build(with_cls_token=False, out_type='raw')
    assert vit(torch.randn(2, 3, 32, 32), keep=torch.arange(5))[0].shape == (2, 5, 32)


def test_dropped_patches_are_not_seen():
    vit, x, keep = build(), torch.randn(1, 3, 32, 32), torch.arange(8)
    y = x.clone()
    y[:, :, 16:] = 7.0  # the lower half: patches 8 to 15
    torch.testing.assert_close(vit(x, keep=keep)[0], vit(y, keep=keep)[0])
    assert float((vit(x)[0] - vit(y)[0]).abs().max()) > 1e-3


@pytest.mark.parametrize('size', [(36, 32), (32, 30)])
def test_crops_not_divisible_by_the_patch(size):
    with pytest.raises(ValueError, match=f'{size[0]}x{size[1]} px is not divisible'):
        build()(torch.zeros(1, 3, *size))
    with pytest.raises(ValueError, match='33x33 px'):
        build(img_size=33)


def test_dropping_from_a_map_is_an_error():
    with pytest.raises(ValueError, match='featmap'):
        build(out_type='featmap')(torch.zeros(1, 3, 32, 32), keep=torch.arange(4))


def test_initialisation_of_the_release():
    torch.manual_seed(0)
    vit = MSNViT(arch='deit-small', img_size=224, patch_size=16)
    vit.init_weights()
    state = vit.state_dict()
    for name in (
        'layers.0.attn.qkv.weight',
        'layers.3.ffn.layers.1.weight',
        'cls_token',
        'pos_embed',
    ):
        assert float(state[name].std()) == pytest.approx(0.02, rel=0.1), name
    assert float(state['layers.0.attn.qkv.bias'].abs().max()) == 0
    assert float(state['layers.0.ffn.layers.0.0.bias'].abs().max()) == 0
    fan_in = 3 * 16 * 16
    assert float(state['patch_embed.projection.weight'].std()) == pytest.approx(
        (2 / fan_in) ** 0.5, rel=0.02
    )
    assert vit.ln1.eps == 1e-6


def test_convolutional_stem():
    vit = build(stem='conv', patch_size=4, with_cls_token=False, out_type='avg_featmap')
    assert vit(torch.randn(2, 3, 32, 32), keep=torch.arange(20))[0].shape == (2, 32)
    assert vit(torch.randn(2, 3, 20, 20))[0].shape == (2, 32)
    with pytest.raises(ValueError, match='power of two'):
        build(stem='conv', img_size=36, patch_size=6)
    with pytest.raises(ValueError, match='of patch_size 16 needs arch.embed_dims >= 16, got 8'):
        build(arch={**ARCH, 'embed_dims': 8}, stem='conv', patch_size=16)


def test_heads_share_the_width():
    with pytest.raises(ValueError, match='embed_dims=32 must be a multiple of arch.num_heads=3'):
        build(arch={**ARCH, 'num_heads': 3})
    with pytest.raises(ValueError, match='stem'):
        build(stem='cnn')


@pytest.mark.parametrize(
    ('arch', 'width', 'depth', 'heads', 'patch', 'millions'),
    [
        ('vit-ti/16', 192, 12, 3, 16, None),
        ('vit-s/16', 384, 12, 6, 16, 21.67),
        ('vit-b/16', 768, 12, 12, 16, 85.80),
        ('ViT-B/8', 768, 12, 12, 8, None),
        ('vit-b/4', 768, 12, 12, 4, None),
        ('vit-l/16', 1024, 24, 16, 16, 303.30),
        ('vit-l/14', 1024, 24, 16, 14, None),
        ('vit-l/7', 1024, 24, 16, 7, None),
        ('vit-h/14', 1280, 32, 16, 14, 630.76),
    ],
)
def test_archs_by_the_names_of_the_literature(arch, width, depth, heads, patch, millions):
    """Sizes; the parameters by a formula, and as published for the encoder at 224 px."""
    with torch.device('meta'):
        vit = MSNViT(arch)
    assert (vit.embed_dims, len(vit.layers), vit.patch_size) == (width, depth, (patch, patch))
    assert vit.layers[0].attn.num_heads == heads
    patches, tokens = width * (3 * patch**2 + 1), (224 // patch) ** 2 + 1
    blocks = depth * (12 * width**2 + 13 * width)
    count = sum(p.numel() for p in vit.parameters())
    assert count == patches + width + tokens * width + blocks + 2 * width
    assert millions is None or count / 1e6 == pytest.approx(millions, abs=0.005)


def test_a_name_and_its_stock_arch_have_the_same_state():
    vit = MSNViT('vit-ti/8', img_size=32)
    stock = VisionTransformer('deit-tiny', img_size=32, patch_size=8)
    stock.load_state_dict(vit.state_dict())
    assert MSNViT('vit-ti/8', img_size=32, patch_size=8).patch_size == (8, 8)


def test_archs_of_mmpretrain_mean_what_they_mean_there():
    with torch.device('meta'):
        small = MSNViT('small')
        assert (small.embed_dims, len(small.layers), small.patch_size) == (768, 8, (16, 16))
        assert MSNViT('deit-small', patch_size=8).patch_size == (8, 8)


@pytest.mark.parametrize('patch_size', [16, (14, 16)])
def test_a_patch_size_that_contradicts_the_name(patch_size):
    with pytest.raises(ValueError, match=r"'vit-l/14' has patches of 14 px, but patch_size=.*16"):
        MSNViT('vit-l/14', patch_size=patch_size)


@pytest.mark.parametrize('arch', ['vit-m/16', 'vit-b', 'vit-b/', 'vit-b/0', 'vit_b_16', 'resnet'])
def test_unknown_archs(arch):
    with pytest.raises(ValueError, match=f"unknown arch '{arch}': .*ti, s, b, l, h.*deit-small"):
        MSNViT(arch)
