"""Which keyword arguments a class takes, with ``**kwargs`` followed to the base classes."""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable

__all__ = ['accepted_arguments']

KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _is_super_init(node: ast.Call) -> bool:
    return (
        isinstance(node.func, ast.Attribute)
        and node.func.attr == '__init__'
        and isinstance(node.func.value, ast.Call)
        and isinstance(node.func.value.func, ast.Name)
        and node.func.value.func.id == 'super'
    )


def _only_for_super(function: Callable, name: str) -> bool:
    """Whether ``**name`` goes to ``super().__init__`` and is read nowhere else in the body."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    passed = [
        keyword.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _is_super_init(node)
        for keyword in node.keywords
        if keyword.arg is None
    ]
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
    return bool(uses) and all(any(use is value for value in passed) for use in uses)


def _own(function: Callable) -> tuple[set[str], str | None]:
    """Names of keyword arguments, and the name of the ``**`` parameter if there is one."""
    parameters = inspect.signature(function).parameters.values()
    names = {parameter.name for parameter in parameters if parameter.kind in KEYWORD}
    rest = [p.name for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD]
    return names - {'self', 'cls'}, rest[0] if rest else None


@functools.cache
def accepted_arguments(item: Callable) -> frozenset[str] | None:
    """The keyword arguments that a class or function takes.

    Args:
        item: A class, or a function that builds something.

    Returns:
        The names, or None where that cannot be known: it takes ``**kwargs``
        and does more with them than pass them to its base class.

    Examples:
        >>> class Base:
        ...     def __init__(self, width=1):
        ...         pass
        >>> sorted(accepted_arguments(Base))
        ['width']
        >>> accepted_arguments(lambda **kwargs: kwargs) is None
        True
    """
    try:
        if not inspect.isclass(item):
            names, rest = _own(item)
            return None if rest else frozenset(names)
        accepted: set[str] = set()
        for base in inspect.getmro(item):
            constructor = vars(base).get('__init__')
            if constructor is None:
                continue
            if base is object:
                return frozenset(accepted)
            names, rest = _own(constructor)
            accepted |= names
            if rest is None:
                return frozenset(accepted)
            if not _only_for_super(constructor, rest):
                return None
        return frozenset(accepted)
    except (TypeError, ValueError):  # no signature: written in C
        return None
