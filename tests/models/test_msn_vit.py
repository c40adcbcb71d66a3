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
    with pytest.raises(ValueError, match='stem'):
        build(stem='cnn')
