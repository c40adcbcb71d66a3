"""MMPretrain's ResNet under MSN: pooling of its map, parameter groups, statistics, errors."""

import pytest
import torch
from mmpretrain.models.backbones import ResNet
from torch import nn

from mmssl_prior.errors import UserError
from mmssl_prior.models import PortableSyncBatchNorm

from .training import msn, train_step, views

RESNET = dict(
    type='ResNet',
    depth=18,
    stem_channels=8,
    base_channels=8,
    norm_cfg=dict(type='PortableSyncBatchNorm'),
)


def build(**kwargs):
    return msn(dict(RESNET, **kwargs), 64, patch_drop=0)


def test_a_step_with_large_and_focal_views_and_the_parameter_groups():
    model = build()
    wrapper = train_step(model)
    groups = {group['name']: group for group in wrapper.optimizer.param_groups}
    decayed = {id(param) for param in groups['decay']['params']}
    assert groups['no_decay']['weight_decay'] == 0 and groups['decay']['weight_decay'] > 0
    for module in model.backbone.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            assert id(module.weight) in decayed
        elif isinstance(module, PortableSyncBatchNorm):
            assert id(module.weight) not in decayed and id(module.bias) not in decayed


def test_features_are_the_mean_of_the_targets_last_map():
    model = build().eval()
    x = torch.randn(2, 3, 96, 96)
    (last,) = model.target_backbone(x)
    assert last.shape == (2, 64, 3, 3)
    torch.testing.assert_close(model(x, mode='tensor'), last.flatten(2).mean(2))


def test_the_target_normalises_with_statistics_of_its_own():
    model = build()
    model.train()
    model(views(), mode='loss')
    assert int(model.target_backbone.bn1.num_batches_tracked) == 1  # the target view
    assert int(model.backbone.bn1.num_batches_tracked) == 2  # large, then focal views


def test_its_weights_load_in_the_stock_network_with_batch_norm():
    ours = build().target_backbone
    stock = ResNet(18, stem_channels=8, base_channels=8)
    ours.eval(), stock.eval()
    stock.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(stock(x)[0], ours(x)[0])


def test_patches_cannot_be_dropped():
    with pytest.raises(UserError, match=r'patch_drop=0\.15 .* ResNet cannot: set patch_drop=0'):
        msn(RESNET, 64, patch_drop=0.15)
