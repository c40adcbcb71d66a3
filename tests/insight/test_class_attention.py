"""Attention of the class token: against the blocks' own, computed another way."""

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from mmssl_prior.errors import UserError
from mmssl_prior.evaluation.encoder import build_encoder
from mmssl_prior.evaluation.encoder_source import read_source
from mmssl_prior.insight import class_attention
from tests.evaluation.checkpoints import CLASSIFIER, MSN, PREPROCESSOR, RESNET, save_checkpoint

PATCHES = dict(MSN, backbone=dict(MSN['backbone'], with_cls_token=False, out_type='avg_featmap'))


def by_hand(block, tokens, heads):
    """Softmax of scaled inner products, query by query; `tokens` enter the block's attention."""
    q, k, _ = block.qkv(tokens).chunk(3, -1)
    width = q.shape[-1] // heads
    maps = torch.zeros(len(tokens), heads, tokens.shape[1], tokens.shape[1])
    for image in range(len(tokens)):
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            for place in range(tokens.shape[1]):
                scores = k[image, :, own] @ q[image, place, own] / width**0.5
                maps[image, head, place] = scores.exp() / scores.exp().sum()
    return maps


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@pytest.mark.parametrize(
    ('model_cfg', 'others', 'token'),
    [(MSN, {}, True), (CLASSIFIER, dict(data_preprocessor=PREPROCESSOR), True), (PATCHES, {}, 0)],
    ids=['ours', "mmpretrain's", 'without a class token'],
)
def test_attention_of_the_last_block(tmp_path, model_cfg, others, token):
    save_checkpoint(tmp_path / 'run' / 'epoch_1.pth', model_cfg, **others)
    encoder = build_encoder(read_source(str(tmp_path / 'run' / 'epoch_1.pth')))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = []
    block = encoder.backbone.layers[-1].attn
    hook = block.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    maps = class_attention(encoder, images)
    hook.remove()
    assert maps.shape == (2, 2, 4, 4)
    expected = by_hand(block, seen[0], 2)
    expected = expected[:, :, 0, 1:] if token else expected.mean(2)
    torch.testing.assert_close(maps.flatten(2), expected, rtol=1e-4, atol=1e-6)


def test_attention_of_a_transformer_of_timm():
    encoder = build_encoder(read_source('timm:vit_tiny_patch16_224'))
    maps = class_attention(encoder, torch.rand(1, 3, 224, 224))
    assert maps.shape == (1, 3, 14, 14)
    sums = maps.sum((2, 3))
    assert (sums < 1).all() and (sums > 0.9).all()


def test_a_convolutional_network_has_none(tmp_path):
    save_checkpoint(tmp_path / 'epoch_1.pth', RESNET, data_preprocessor=PREPROCESSOR)
    encoder = build_encoder(read_source(str(tmp_path / 'epoch_1.pth')))
    with pytest.raises(UserError, match='ResNet is no vision transformer'):
        class_attention(encoder, torch.rand(1, 3, 64, 64))


def test_another_way_to_attend_is_seen(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / 'epoch_1.pth')
    encoder = build_encoder(read_source(str(tmp_path / 'epoch_1.pth')))
    block = encoder.backbone.layers[-1].attn
    block.scaled_dot_product_attention = lambda q, k, v, **_: (
        nn.functional.scaled_dot_product_attention(q, k, v, scale=9.0)
    )
    with pytest.raises(UserError, match='more than queries and keys'):
        class_attention(encoder, torch.rand(1, 3, 32, 32))
