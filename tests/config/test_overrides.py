"""Command line overrides: only keys that exist, and only where they have an effect."""

import pytest
from mmengine.config import Config

from mmssl_prior.config import apply_overrides, parse_overrides
from mmssl_prior.errors import UserError


@pytest.fixture
def cfg():
    return Config(
        dict(
            data_root='data/x',
            lr=0.5,
            train_pipeline=[dict(type='Load'), dict(type='Flip', prob=0.5)],
            unused=7,
            model=dict(type='MSN', head=dict(type='PMSNHead', temperature=0.1)),
            train_dataloader=dict(
                batch_size=4,
                dataset=dict(
                    type='D',
                    data_root='data/x',
                    pipeline=[dict(type='Load'), dict(type='Flip', prob=0.5)],
                ),
            ),
            val_dataloader=None,
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.5)),
            custom_hooks=[dict(type='A', interval=1), dict(type='B')],
        )
    )


def override(cfg, *pairs):
    apply_overrides(cfg, parse_overrides(pairs))


@pytest.mark.parametrize(
    ('pair', 'path', 'value'),
    [
        ('model.head.temperature=0.2', ('model', 'head', 'temperature'), 0.2),
        ('custom_hooks.0.interval=5', ('custom_hooks', 0, 'interval'), 5),
        ('train_dataloader.dataset.type=E', ('train_dataloader', 'dataset', 'type'), 'E'),
        ('+model.head.new=[1,2]', ('model', 'head', 'new'), [1, 2]),
        ('+custom_hooks.1.priority=HIGH', ('custom_hooks', 1, 'priority'), 'HIGH'),
        ('+model.neck.type=N', ('model', 'neck', 'type'), 'N'),
        # Keys of the Runner that the file leaves out cannot be a misspelling.
        ('load_from=x.pth', ('load_from',), 'x.pth'),
    ],
)
def test_applied(cfg, pair, path, value):
    override(cfg, pair)
    node = cfg
    for key in path:
        node = node[key]
    assert node == value


def test_order_of_several_keeps_all(cfg):
    override(cfg, 'model.head.temperature=0.2', 'train_dataloader.batch_size=8')
    assert (cfg.model.head.temperature, cfg.train_dataloader.batch_size) == (0.2, 8)


@pytest.mark.parametrize(
    ('pair', 'message'),
    [
        ('model.head.tempreture=0.2', r'did you mean model\.head\.temperature\?'),
        ('modle.head.temperature=0.2', r'did you mean model\.head\.temperature\?'),
        ('model.temperature=0.2', r'did you mean model\.head\.temperature\?'),
        ('optim_wrapper.lr=1', r'did you mean optim_wrapper\.optimizer\.lr\?'),
        ('custom_hooks.2.interval=5', r'no such key'),
        ('custom_hooks.0.intervall=5', r'did you mean custom_hooks\.0\.interval\?'),
        ('val_dataloader.batch_size=5', r'did you mean train_dataloader\.batch_size\?'),
        ('model.head.temperature.x=5', r'no such key'),
        ('model.head.qqq=1', r'to add it, write \+model\.head\.qqq=VALUE'),
    ],
)
def test_unknown_path(cfg, pair, message):
    before = cfg.to_dict()
    with pytest.raises(UserError, match=message):
        override(cfg, pair)
    assert cfg.to_dict() == before


@pytest.mark.parametrize(
    ('pair', 'message'),
    [
        ('data_root=/d', r'would change nothing; override train_dataloader\.dataset\.data_root$'),
        ('lr=1', r'override optim_wrapper\.optimizer\.lr$'),
        (
            'train_pipeline.1.prob=0.1',
            r'override train_dataloader\.dataset\.pipeline\.1\.prob$',
        ),
        ('unused=3', r'change it in the file'),
        ('+data_root=/d', r'would change nothing'),
    ],
)
def test_variable_of_the_file(cfg, pair, message):
    with pytest.raises(UserError, match=message):
        override(cfg, pair)


def test_custom_runner_may_read_keys_of_its_own(cfg):
    cfg.runner_type = 'MyRunner'
    override(cfg, 'unused=3')
    assert cfg.unused == 3


def test_replaced_dict_takes_any_key(cfg):
    override(cfg, 'model.head._delete_=True', 'model.head.type=Other', 'model.head.width=3')
    assert cfg.model.head == dict(type='Other', width=3)


@pytest.mark.parametrize(
    ('pair', 'message'),
    [
        ('model', 'expected KEY=VALUE'),
        ('=3', 'expected KEY=VALUE'),
        ('custom_hooks=[dict(type=A,x=1)]', 'not a number, word'),
        ('custom_hooks=[1,(2]', 'not a number, word'),
        ('+model.head.temperature.x=1', 'model.head.temperature.x'),
    ],
)
def test_malformed(cfg, pair, message):
    with pytest.raises(UserError, match=message):
        override(cfg, pair)


def test_value_may_hold_equal_signs_and_dashes():
    assert parse_overrides(['+a=b=c', '--x=-1']) == {'+a': 'b=c', '--x': -1}
    assert parse_overrides(None) == {}
