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
        # MMEngine's parser drops the blanks of a word, and the file is not found.
        ('load_from=my runs/x y.pth', ('load_from',), 'my runs/x y.pth'),
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
        ('custom_hooks.2.interval=5', r'custom_hooks is a list of 2 .* no item 2'),
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
        ('data_root=/d', r'would change nothing; .*override train_dataloader\.dataset\.data_root;'),
        ('lr=1', r'override optim_wrapper\.optimizer\.lr;'),
        (
            'train_pipeline.1.prob=0.1',
            r'override train_dataloader\.dataset\.pipeline\.1\.prob;',
        ),
        ('unused=3', r'change it in the file or a copy of the file; values that the file comp'),
        ('+data_root=/d', r'would change nothing'),
    ],
)
def test_variable_of_the_file(cfg, pair, message):
    with pytest.raises(UserError, match=message):
        override(cfg, pair)


def test_variable_of_the_file_lists_every_equal_copy():
    """A multiple of it cannot be found, so the line says that such values are missing."""
    cfg = Config(
        dict(
            epochs=300,
            seed=0,
            custom_hooks=[dict(type='Other', epochs=300, begin=0)],
            train_cfg=dict(max_epochs=300),
            param_scheduler=[dict(end=300, T_max=375, begin=0), dict(end=300), dict(end=300)],
            randomness=dict(seed=0),
        )
    )
    with pytest.raises(UserError) as caught:
        override(cfg, 'epochs=100')
    text = str(caught.value)
    paths = ['custom_hooks.0.epochs', 'train_cfg.max_epochs']
    paths += [f'param_scheduler.{index}.end' for index in range(3)]
    assert f'override {", ".join(paths)};' in text
    assert text.endswith('values that the file computes from it are not listed here')
    # Zero is everywhere.
    with pytest.raises(UserError, match=r'override randomness\.seed; values that'):
        override(cfg, 'seed=3')


@pytest.mark.parametrize('plus', ['', '+'])
@pytest.mark.parametrize(
    ('pair', 'message'),
    [
        (
            'modle.head.temperature=0.2',
            r'modle is not in the config and nothing reads it.*mean model\.head\.temperature\?',
        ),
        ('randomnes.seed=1', r'nothing reads it.*did you mean randomness\?'),
        ('qqq=1', r'qqq is not in the config and nothing reads it, so this would change nothing$'),
    ],
)
def test_new_key_that_nothing_reads(cfg, plus, pair, message):
    before = cfg.to_dict()
    with pytest.raises(UserError, match=message):
        override(cfg, plus + pair)
    assert cfg.to_dict() == before


def test_new_key_that_the_runner_reads(cfg):
    override(cfg, '+randomness.seed=3')
    assert cfg.randomness.seed == 3


@pytest.mark.parametrize('plus', ['', '+'])
@pytest.mark.parametrize(
    ('pair', 'message'),
    [
        (
            'custom_hooks.2.type=EMAHook',
            r'custom_hooks is a list of 2 \(counted from 0\) and has no item 2; '
            r'\+default_hooks\.NAME\.type=TYPE adds a hook$',
        ),
        ('custom_hooks.first.type=EMAHook', 'has no item first'),
        (
            'train_dataloader.dataset.pipeline.2.type=Flip',
            r'train_dataloader\.dataset\.pipeline is a list of 2 .*change the list in the file$',
        ),
        ('custom_hooks.0=A', r'one by one; set keys of the item \(custom_hooks\.0\.KEY=VALUE\)'),
        ('custom_hooks.0._delete_=True', 'its items cannot be replaced one by one'),
    ],
)
def test_item_that_a_list_does_not_take(cfg, plus, pair, message):
    before = cfg.to_dict()
    with pytest.raises(UserError, match=message):
        override(cfg, plus + pair)
    assert cfg.to_dict() == before


def test_hook_added_as_the_message_tells(cfg):
    override(cfg, '+default_hooks.ema.type=EMAHook')
    assert cfg.default_hooks.ema.type == 'EMAHook'


def test_custom_runner_may_read_keys_of_its_own(cfg):
    cfg.runner_type = 'MyRunner'
    override(cfg, 'unused=3', '+unknown=4')
    assert (cfg.unused, cfg.unknown) == (3, 4)


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
