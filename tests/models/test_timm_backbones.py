"""Models of timm under MSN: patch dropping, pooling, a step with 224 and 96 px views, errors."""

import pytest
import timm
import torch
from mmpretrain.models.backbones import TIMMBackbone
from mmpretrain.registry import MODELS
from torch import nn

from mmssl_prior.errors import UserError
from mmssl_prior.models import PortableSyncBatchNorm, TIMMViT, TokenPool

from .training import msn, train_step, views

SMALL = dict(embed_dim=32, depth=2, num_heads=2)
VIT = dict(type='TIMMViT', model_name='vit_tiny_patch16_224', **SMALL)
POOL = dict(type='TokenPool', mode='token')


def build(**kwargs):
    torch.manual_seed(0)
    cfg = dict(VIT, img_size=64) | kwargs
    cfg.pop('type')
    vit = TIMMViT(**cfg)
    vit.eval()
    return vit


def build_stock(**kwargs):
    stock = MODELS.build(dict(VIT, type='TIMMBackbone', dynamic_img_size=True, **kwargs))
    stock.eval()
    return stock


# Position embedding over class token and registers or patches alone, norm before the blocks.
VARIANTS = [
    dict(),
    dict(reg_tokens=3),
    dict(reg_tokens=2, no_embed_class=True),
    dict(class_token=False, global_pool='avg'),
    dict(pre_norm=True),
]


def embedded(vit, x):
    """Tokens after the position embedding, at the size that the model was built for."""
    x = vit.patch_embed.proj(x).flatten(2).transpose(1, 2)
    extra = [t for t in (vit.cls_token, vit.reg_token) if t is not None]
    prefix = [t.expand(len(x), -1, -1) for t in extra]
    if vit.no_embed_class:
        return torch.cat([*prefix, x + vit.pos_embed], 1)
    return torch.cat([*prefix, x], 1) + vit.pos_embed


def encoded(vit, tokens):
    tokens = vit.norm_pre(tokens)
    for block in vit.blocks:
        tokens = block(tokens)
    return vit.fc_norm(vit.norm(tokens))


@pytest.mark.parametrize('kwargs', VARIANTS, ids=str)
def test_keeping_some_patches_equals_a_plain_computation(kwargs):
    backbone, x = build(**kwargs), torch.randn(2, 3, 64, 64)
    vit = backbone.timm_model
    prefix = vit.num_prefix_tokens
    whole = embedded(vit, x)
    torch.testing.assert_close(backbone(x)[0], encoded(vit, whole))
    keep = torch.tensor([0, 3, 7, 15])
    columns = [*range(prefix), *(prefix + keep).tolist()]
    torch.testing.assert_close(backbone(x, keep=keep)[0], encoded(vit, whole[:, columns]))
    rows = torch.tensor([[0, 1], [14, 15]])
    tokens = torch.stack(
        [whole[i][[*range(prefix), *(prefix + row).tolist()]] for i, row in enumerate(rows)]
    )
    torch.testing.assert_close(backbone(x, keep=rows)[0], encoded(vit, tokens))


@pytest.mark.parametrize('size', [64, 96])
def test_without_dropping_it_is_mmpretrains_backbone(size):
    backbone, x = build(), torch.randn(2, 3, size, size)
    stock = build_stock(img_size=64)
    stock.load_state_dict(backbone.state_dict())
    assert torch.equal(backbone(x)[0], stock(x)[0])
    every = torch.arange((size // 16) ** 2)
    assert torch.equal(backbone(x, keep=every)[0], stock(x)[0])
    backbone(x, keep=every[:3])
    assert torch.equal(backbone(x)[0], stock(x)[0]), 'a subset is forgotten after its call'


def test_dropped_patches_are_not_seen():
    backbone, x, keep = build(), torch.randn(1, 3, 64, 64), torch.arange(8)
    y = x.clone()
    y[:, :, 32:] = 7.0  # the lower half: patches 8 to 15
    assert torch.equal(backbone(x, keep=keep)[0], backbone(y, keep=keep)[0])
    assert float((backbone(x)[0] - backbone(y)[0])[:, 0].detach().abs().max()) > 1e-3


def test_a_subset_is_forgotten_after_an_error_too():
    backbone = build()
    with pytest.raises((IndexError, RuntimeError)):
        backbone(torch.zeros(1, 3, 64, 64), keep=torch.tensor([99]))
    assert backbone(torch.zeros(1, 3, 64, 64))[0].shape == (1, 17, 32)


def test_patches_are_dropped_on_the_large_anchor_alone(monkeypatch):
    """224 px: 196 patches, 166 of them kept; 96 px: 36, all kept."""
    model, seen = msn(VIT, 32, patch_drop=0.15, pool=POOL), []
    for name in ('backbone', 'target_backbone'):
        vit = getattr(model, name).timm_model
        monkeypatch.setattr(
            vit,
            'norm_pre',
            type(
                'Spy',
                (nn.Module,),
                {'forward': lambda self, x, name=name: seen.append((name, x.shape[1])) or x},
            )(),
        )
    model(views(), mode='loss')
    assert seen == [('target_backbone', 197), ('backbone', 167), ('backbone', 37)]


@pytest.mark.parametrize(
    ('backbone', 'width', 'kwargs'),
    [
        (VIT, 32, dict(patch_drop=0.15, pool=POOL)),
        (VIT, 32, dict(patch_drop=0.15, patch_drop_mode='sample', pool=dict(POOL, mode='avg'))),
        (dict(VIT, type='TIMMBackbone', dynamic_img_size=True), 32, dict(patch_drop=0, pool=POOL)),
        (
            dict(
                type='TIMMBackbone',
                model_name='resnet18',
                channels=(8, 16, 24, 32),
                norm_layer='PortableSyncBatchNorm',
            ),
            32,
            dict(patch_drop=0),
        ),
        (
            dict(
                type='TIMMBackbone',
                model_name='convnext_atto',
                dims=(8, 16, 24, 32),
                depths=(1, 1, 1, 1),
            ),
            32,
            dict(patch_drop=0),
        ),
        (
            dict(
                type='TIMMBackbone',
                model_name='mambaout_femto',
                dims=(8, 16, 24, 32),
                depths=(1, 1, 1, 1),
            ),
            128,
            dict(patch_drop=0, pool=dict(POOL, mode='avg', num_prefix_tokens=0)),
        ),
    ],
    ids=['vit', 'vit-avg-sample', 'vit-plain', 'resnet', 'convnext', 'channels-last'],
)
def test_a_step_with_large_and_focal_views(backbone, width, kwargs):
    model = msn(backbone, width, **kwargs)
    norms = {
        type(m) for m in model.backbone.modules() if isinstance(m, nn.modules.batchnorm._NormBase)
    }
    assert norms == ({PortableSyncBatchNorm} if 'norm_layer' in backbone else set())
    train_step(model)
    features = model.eval()(torch.zeros(3, 3, 224, 224), mode='tensor')
    assert features.shape == (3, width)


def test_features_for_evaluation_are_the_pooled_tokens_of_the_target():
    model = msn(VIT, 32, patch_drop=0.15, pool=POOL).eval()
    x = torch.randn(2, 3, 96, 96)
    stock = build_stock()
    stock.load_state_dict(model.target_backbone.state_dict())
    torch.testing.assert_close(model(x, mode='tensor'), stock(x)[0][:, 0])


def test_the_step_of_a_classifier_on_the_same_features():
    """Backbone and TokenPool serve MMPretrain's ImageClassifier as backbone and neck."""
    classifier = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(VIT, type='TIMMBackbone', img_size=64),
            neck=dict(type='TokenPool', mode='avg'),
            head=dict(type='LinearClsHead', num_classes=5, in_channels=32),
        )
    )
    assert classifier(torch.randn(2, 3, 64, 64)).shape == (2, 5)
    assert isinstance(classifier.backbone, TIMMBackbone) and isinstance(classifier.neck, TokenPool)


def test_weights_that_timm_made_are_its_own():
    """init_weights leaves weights that a checkpoint gave, and follows timm otherwise."""
    vit = build(init_values=0.3)
    vit.init_weights()
    assert float(vit.timm_model.blocks[0].ls1.gamma.mean()) == pytest.approx(0.3)
    assert float(vit.timm_model.pos_embed.std()) == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(patch_drop_rate=0.1), "target's too"),
        (dict(model_name='vit_huge_patch3'), "has no model 'vit_huge_patch3'"),
        (dict(model_name='resnet18'), "does not build 'resnet18'.*TIMMBackbone"),
        (dict(features_only=True, out_indices=(0, 1)), 'FeatureGetterNet'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(UserError, match=message):
        build(**kwargs)


def test_a_timm_model_of_another_kind():
    with pytest.raises(UserError, match='is a SwinTransformer.*TIMMBackbone'):
        TIMMViT('swin_tiny_patch4_window7_224', depths=(1, 1, 1, 1))


def test_timms_own_dropping_in_a_plain_backbone():
    backbone = dict(VIT, type='TIMMBackbone', dynamic_img_size=True, patch_drop_rate=0.1)
    with pytest.raises(UserError, match='patch_drop_rate drops patches of every view'):
        msn(backbone, 32, patch_drop=0, pool=POOL)


def test_a_transformer_built_for_one_size():
    model = msn(dict(VIT, type='TIMMBackbone'), 32, patch_drop=0, pool=POOL)
    with pytest.raises(UserError, match='no views of 96x96 px .*add dynamic_img_size=True to'):
        model(views(), mode='loss')


def test_an_assertion_of_another_backbone_is_a_bug():
    model = msn(VIT, 32, patch_drop=0, pool=POOL)
    with pytest.raises(AssertionError, match='not ours'):
        model._features(_asserts, torch.zeros(1, 3, 32, 32))


def _asserts(images):
    raise AssertionError('not ours')


def test_tokens_that_nothing_pools():
    model = msn(VIT, 32, patch_drop=0)
    with pytest.raises(UserError, match=r'shape \(2, 197, 32\).*TokenPool'):
        model(views(), mode='loss')


def test_dropping_needs_the_class_that_can():
    with pytest.raises(UserError, match='TIMMBackbone cannot: set patch_drop=0'):
        msn(dict(type='TIMMBackbone', model_name='resnet18'), 512, patch_drop=0.15)


def test_a_pool_that_learns_is_an_error():
    with pytest.raises(UserError, match="pool='MSNNeck' has parameters"):
        msn(VIT, 32, pool=dict(type='MSNNeck', in_channels=32))


def test_a_crop_not_divisible_by_the_patch():
    with pytest.raises(UserError, match='90x96 px is not divisible into patches of 16x16'):
        build()(torch.zeros(1, 3, 90, 96))


def test_the_slot_exists_in_this_timm():
    """Where patches are dropped is timm's to name; a timm that renames it must fail here."""
    vit = timm.create_model('vit_tiny_patch16_224', img_size=32, patch_drop_rate=0.5, **SMALL)
    assert type(vit.patch_drop).__name__ == 'PatchDropout' and vit.patch_drop.prob == 0.5
