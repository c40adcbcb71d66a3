"""Overrides become words that ``--cfg-options`` reads as the same."""

import pytest
from mmengine.config import Config

from mmssl_prior.config import apply_overrides, parse_overrides
from mmssl_prior.errors import UserError
from mmssl_prior.study.options import option_words


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'a.b': 1}, ['a.b=1']),
        ({'a.b': 0.075, 'c': 'x'}, ['a.b=0.075', 'c=x']),
        ({'a': None, 'b': True, 'c': False}, ['a=None', 'b=True', 'c=False']),
        ({'a': [1, 2.5, 'x'], 'b': (1, [2])}, ['a=[1,2.5,x]', 'b=(1,[2])']),
        ({'+a': dict(type='B', c=dict(d=1))}, ['+a.type=B', '+a.c.d=1']),
        ({'a.b': dict(_delete_=True, type='C')}, ['a.b._delete_=True', 'a.b.type=C']),
    ],
)
def test_words(options, words):
    assert list(option_words(options, 'x').values()) == words


def test_words_do_to_a_config_what_the_dict_says():
    cfg = Config(dict(model=dict(head=dict(prior=dict(type='A', tau=1)), width=3)))
    prior = dict(_delete_=True, type='PowerLawPrior', exponent=0.5)
    words = option_words({'model.head.prior': prior, 'model.width': 4}, 'x')
    apply_overrides(cfg, parse_overrides(list(words.values())))
    expected = dict(head=dict(prior=dict(type='PowerLawPrior', exponent=0.5)), width=4)
    assert cfg.model.to_dict() == expected


@pytest.mark.parametrize(
    'value', ['1', 'a,b', 'None', [dict(type='Hook')], {}, object, 'true', "'x'"]
)
def test_what_no_word_says_is_refused(value):
    with pytest.raises(UserError, match=r'^study\.py: options: key=.*write a config'):
        option_words(dict(key=value), 'study.py: options')


def test_a_key_is_text():
    with pytest.raises(UserError, match='3 is no key'):
        option_words({3: 1}, 'x')
