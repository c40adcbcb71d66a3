"""Overrides of a study as the words of ``--cfg-options``: what runs can be typed."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..config import parse_overrides
from ..errors import UserError

__all__ = ['option_words']


def option_words(options: Mapping[str, Any], where: str) -> dict[str, str]:
    """Overrides as words of a command line, by the key without its plus.

    The keys of a dict become words of their own, as ``--cfg-options`` wants
    them; what a word would not say is refused.

    Args:
        options: Dotted key, with a leading plus if it is new, to value.
        where: File and field, for the message.

    Raises:
        UserError: If a value cannot be written as words.

    Example:
        >>> option_words({'+model.prior': dict(type='PowerLawPrior', exponent=0.5)}, 'x')
        {'model.prior.type': '+model.prior.type=PowerLawPrior',
         'model.prior.exponent': '+model.prior.exponent=0.5'}
    """
    words: dict[str, str] = {}
    for key, value in _leaves(options, where):
        word = f'{key}={_text(value)}'
        try:
            read = parse_overrides([word])[key]
        except UserError as error:
            raise _unwritable(where, key, value) from error
        if not _same(read, value):
            raise _unwritable(where, key, value)
        words[key.lstrip('+')] = word
    return words


def _unwritable(where: str, key: str, value: Any) -> UserError:
    return UserError(
        f'{where}: {key}={value!r} cannot be said on a command line (--cfg-options takes numbers, '
        'words, [lists] and (tuples) of them): write a config with it, whose _base_ is the other, '
        'and name that'
    )


def _leaves(options: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        if not isinstance(key, str) or not key.lstrip('+'):
            raise UserError(f'{where}: {key!r} is no key of a config')
        if isinstance(value, Mapping) and value:
            yield from _leaves({f'{key}.{inner}': item for inner, item in value.items()}, where)
        else:
            yield key, value


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        inner = ','.join(map(_text, value))
        return f'[{inner}]' if isinstance(value, list) else f'({inner})'
    return value if isinstance(value, str) else repr(value)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, (list, tuple)) and type(left) is type(right):
        return len(left) == len(right) and all(map(_same, left, right))
    return type(left) is type(right) and bool(left == right)
