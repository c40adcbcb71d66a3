"""Data2VecViT against MMPretrain's own classes, and the mistakes of theirs that it corrects."""

import math

import pytest
import torch
from mmpretrain.models import BEiTPretrainViT
from mmpretrain.models.backbones import BEiTViT

from mmssl_prior.models import Data2VecViT

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=48)
SHAPE = dict(arch=ARCH, img_size=32, patch_size=8, layer_scale_init_value=0.5)
STOCK = dict(
    SHAPE,
    final_norm=True,
    out_type='featmap',
    use_rel_pos_bias=False,
    use_shared_rel_pos_bias=True,
)


def build(**kwargs):
    torch.manual_seed(0)
    vit = Data2VecViT(**dict(SHAPE, **kwargs))
    vit.init_weights()
    # A bias of zero would not tell positions apart.
    torch.nn.init.normal_(vit.rel_pos_bias.relative_position_bias_table)
    vit.eval()
    return vit


def images(batch=2, seed=1):
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def some_mask():
    mask = torch.zeros(2, 16, dtype=torch.bool)
    mask[0, :9], mask[1, 5:12] = True, True
    return mask


def test_stock_transformer_to_the_bit():
    vit, stock = build(), BEiTViT(**STOCK)
    assert stock.state_dict().keys() == vit.state_dict().keys()
    stock.load_state_dict(vit.state_dict())
    stock.eval()
    assert torch.equal(stock(images())[0], vit(images())[0])
    assert vit(images())[0].shape == (2, 32, 4, 4)


def test_block_outputs_are_those_of_the_stock_blocks():
    vit = build()
    stock = BEiTViT(**dict(STOCK, out_indices=[0, 1, 2], out_type='raw', final_norm=False))
    state = {k: v for k, v in vit.state_dict().items() if not k.startswith('ln1')}
    stock.load_state_dict(state)
    stock.eval()
    expected = [tokens[:, 1:] for tokens in stock(images())]
    for last in (1, 2, 3):
        outputs = vit.block_outputs(images(), last)
        assert len(outputs) == last
        for mine, theirs in zip(outputs, expected[-last:]):
            torch.testing.assert_close(mine, theirs)


def test_hidden_patches_are_replaced_as_in_stock_beit():
    vit, mask, token = build(), some_mask(), torch.randn(1, 1, 32)
    stock = BEiTPretrainViT(**SHAPE)
    stock.load_state_dict(vit.state_dict() | dict(mask_token=token))
    stock.eval()
    (tokens,) = vit.block_outputs(images(), mask=mask, mask_token=token)
    expected = stock(images(), mask.view(2, 4, 4))[0][:, 1:]
    torch.testing.assert_close(vit.ln1(tokens), expected)


def test_hidden_patches_are_not_seen():
    vit, mask, token = build(), some_mask(), torch.randn(1, 1, 32)
    x = images()
    y = x.clone().view(2, 3, 4, 8, 4, 8)
    y.permute(0, 2, 4, 1, 3, 5)[mask.view(2, 4, 4)] = 9.0
    one, two = (vit.block_outputs(v.reshape(x.shape), 3, mask, token) for v in (x, y))
    for a, b in zip(one, two):
        assert torch.equal(a, b)
    assert not torch.equal(vit(x)[0], vit(y.reshape(x.shape))[0])


def test_attention_dropout_arrives():
    """The stock layer takes attn_drop_rate and leaves it at 0."""
    assert {layer.attn.attn_drop.p for layer in build(attn_drop_rate=0.05).layers} == {0.05}
    ignored = BEiTViT(**dict(STOCK, layer_cfgs=dict(attn_drop_rate=0.05)))
    assert {layer.attn.attn_drop.p for layer in ignored.layers} == {0.0}


@pytest.mark.parametrize(('stock', 'factors'), [(False, [0, 2]), (True, [0, 4])])
def test_stochastic_depth_is_applied_once_to_each_branch(stock, factors):
    """A branch that survives with probability 1/2 counts twice; in the stock class four times."""
    kwargs = dict(STOCK, drop_path_rate=0.5)
    vit = BEiTViT(**kwargs) if stock else build(drop_path_rate=0.5, attn_drop_rate=0.0)
    layer = vit.layers[-1]
    with torch.no_grad():
        layer.gamma_1.zero_()  # the feed-forward branch alone
    x = torch.randn(64, 5, 32)
    bias = torch.zeros(2, 5, 5)
    layer.eval()
    branch = layer(x, bias) - x
    layer.train()
    torch.manual_seed(0)
    seen = ((layer(x, bias) - x) * branch).sum((1, 2)) / branch.square().sum((1, 2))
    assert sorted(set(seen.round().tolist())) == factors
    torch.testing.assert_close(seen, seen.round(), rtol=1e-4, atol=1e-4)
    assert torch.linspace(0, 0.5, 3).tolist() == pytest.approx(
        [getattr(layer.drop_path, 'drop_prob', 0) for layer in vit.layers]
    )


def test_initialisation_as_released():
    torch.manual_seed(0)
    vit = Data2VecViT(arch=dict(ARCH, embed_dims=128, feedforward_channels=256), img_size=32)
    vit.init_weights()
    std = 0.02 * 0.5397  # of a normal cut at one standard deviation
    for i, layer in enumerate(vit.layers, start=1):
        matrices = dict(
            qkv=(layer.attn.qkv, 1),
            proj=(layer.attn.proj, math.sqrt(2 * i)),
            fc1=(layer.ffn.layers[0][0], 1),
            fc2=(layer.ffn.layers[1], math.sqrt(2 * i)),
        )
        for name, (linear, divisor) in matrices.items():
            weight = linear.weight.detach() * divisor
            assert float(weight.std()) == pytest.approx(std, rel=0.03), name
            assert float(weight.abs().max()) <= 0.02 + 1e-6
            assert linear.bias is None or not linear.bias.any()
        assert layer.gamma_1.unique().tolist() == pytest.approx([1e-4])
    assert float(vit.patch_embed.projection.weight.detach().std()) == pytest.approx(std, rel=0.03)
    assert 0 < float(vit.cls_token.detach().abs().max()) <= 0.02
    assert not vit.rel_pos_bias.relative_position_bias_table.any()


def test_an_init_cfg_takes_the_place_of_the_released_initialisation():
    vit = Data2VecViT(**SHAPE, init_cfg=dict(type='Constant', layer='Linear', val=0.5))
    vit.init_weights()
    assert vit.layers[2].attn.proj.weight.unique().tolist() == [0.5]


def test_bad_sizes():
    with pytest.raises(ValueError, match='not divisible into patches of 8'):
        Data2VecViT(**dict(SHAPE, img_size=36))
    for call in (build().forward, build().block_outputs):
        with pytest.raises(
            ValueError, match=r'\(48, 48\) px for a backbone of img_size=\(32, 32\)'
        ):
            call(torch.zeros(1, 3, 48, 48))
