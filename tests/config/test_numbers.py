"""Numbers of a config that are of another kind than their arguments, or out of range."""

import math
from collections.abc import Sequence

import pytest
from mmengine.hooks import LoggerHook
from torch import nn

from mmssl_prior.config.numbers import argument_types, check_numbers, check_places
from mmssl_prior.engine import TargetNetworkHook
from mmssl_prior.errors import UserError
from mmssl_prior.models import MSNViT, Sinkhorn


class Base:
    def __init__(self, width: int, rate: float = None, **kwargs) -> None:
        pass


class Derived(Base):
    def __init__(self, depth: 'int | Sequence[int]' = 1, **kwargs) -> None:
        pass


def test_annotations_of_base_classes_count():
    types = argument_types(Derived)
    assert types['width'] is int and types['rate'] == float | None
    assert types['depth'] == int | Sequence[int]


@pytest.mark.parametrize(
    ('kind', 'arguments', 'message'),
    [
        (Sinkhorn, dict(iterations=1.5), r'^at\.iterations must be an integer, got 1\.5$'),
        (Sinkhorn, dict(iterations=True), r'iterations must be an integer, got True'),
        (Sinkhorn, dict(iterations=None), r'iterations must be an integer, got None'),
        (TargetNetworkHook, dict(momentum='x'), r"momentum must be a number, got 'x'"),
        (TargetNetworkHook, dict(momentum=math.nan), r'momentum must be finite, got nan'),
        (TargetNetworkHook, dict(stretch=math.inf), r'stretch must be finite, got inf'),
        (MSNViT, dict(img_size='x'), r"img_size must be an integer or a sequence of 2, got 'x'"),
        (MSNViT, dict(img_size=[32]), r'img_size must be .* a sequence of 2, got \[32\]'),
        (MSNViT, dict(img_size=(32, 0.5)), r'img_size\.1 must be an integer, got 0\.5'),
        (LoggerHook, dict(interval='x'), r"interval must be a number, got 'x'"),
        # Not annotated, or of no numbers: only a NaN is wrong whatever it is.
        (nn.Module, dict(rate=math.nan), r'rate must be finite, got nan'),
    ],
)
def test_another_kind(kind, arguments, message):
    with pytest.raises(UserError, match=message):
        check_numbers('at', arguments, kind)


@pytest.mark.parametrize(
    ('kind', 'arguments'),
    [
        (TargetNetworkHook, dict(momentum=1)),
        (MSNViT, dict(img_size=[32, 32], patch_size=None, arch=dict(embed_dims=8))),
        # Of others an integer may be any number, and a number a sequence.
        (LoggerHook, dict(interval=3.0)),
        (nn.Dropout, dict(p=[0.1])),
        (nn.Module, dict(max_norm=math.inf, anything='x')),
    ],
)
def test_sound(kind, arguments):
    check_numbers('at', arguments, kind)


@pytest.mark.parametrize(
    ('path', 'value', 'message'),
    [
        (
            'train_dataloader',
            dict(batch_size=0),
            r'^train_dataloader\.batch_size must be at least 1',
        ),
        ('train_dataloader', dict(drop_last=1), r'drop_last must be True or False, got 1$'),
        ('model', dict(data_preprocessor=dict(std=[1, 0])), r'std\.1 must be above 0, got 0$'),
        (
            'param_scheduler',
            [dict(start_factor=2)],
            r'0\.start_factor must be above 0 and at most 1',
        ),
        ('optim_wrapper', dict(optimizer=dict(lr=-1)), r'optimizer\.lr must be at least 0, got -1'),
        # MMEngine looks whether it is true, and takes words for that.
        ('param_scheduler', [{}, dict(by_epoch='')], r"1\.by_epoch must be True or False, got ''$"),
        (
            'optim_wrapper',
            dict(optimizer=dict(betas=(0.9, 1))),
            r'betas\.1 must be at least 0 and below 1, got 1$',
        ),
        ('model', dict(backbone=dict(arch=dict(num_layers=0))), r'num_layers must be at least 1'),
    ],
)
def test_out_of_range(path, value, message):
    with pytest.raises(UserError, match=message):
        check_places(path, value)


def test_no_clipping_and_no_limit_are_sound():
    check_places('optim_wrapper', dict(clip_grad=dict(max_norm=math.inf), optimizer=dict(lr=0)))
    check_places('train_cfg', dict(max_epochs=None))
