"""The config in a checkpoint, read as data."""

import ast
from typing import Any

from mmengine.utils import import_modules_from_strings

from ..errors import UserError, printable

__all__ = ['literal_config']


def literal_config(text: str, path: str) -> dict[str, Any]:
    """The values of a config as a checkpoint holds it: literals, lists and ``dict(...)``.

    Nothing is executed but the ``custom_imports`` it names.

    Raises:
        UserError: If it is something else.

    Example:
        >>> literal_config("a = dict(b=[1, -2.5], c=None)", 'x.pth')
        {'a': {'b': [1, -2.5], 'c': None}}
    """
    try:
        values = {
            target.id: _value(statement.value)
            for statement in ast.parse(text).body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise UserError(
            f'checkpoint {printable(path)}: the config it holds cannot be read ({error}); give '
            'the file: --config FILE'
        ) from error
    imports = values.get('custom_imports') or {}
    modules = imports.get('imports', ()) if isinstance(imports, dict) else None
    modules = [modules] if isinstance(modules, str) else modules
    if not isinstance(modules, (list, tuple)) or not all(isinstance(n, str) for n in modules):
        raise UserError(
            f'checkpoint {printable(path)}: custom_imports of the config it holds names no '
            'modules; give the file: --config FILE'
        )
    modules = [name for name in modules if name != 'mmssl_prior']
    try:
        import_modules_from_strings(modules, allow_failed_imports=False)
    except ImportError as error:
        raise UserError(
            f'checkpoint {printable(path)}: its config imports {", ".join(modules)}: {error}; '
            'start from the folder that has them'
        ) from error
    return values


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
        if node.func.id == 'dict' and all(keyword.arg for keyword in node.keywords):
            return {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
        kinds = {'float': float, 'set': set, 'tuple': tuple, 'list': list}
        if node.func.id in kinds and not node.keywords:
            return kinds[node.func.id](_value(node.args[0]))
    if isinstance(node, ast.Dict):
        return {_value(k): _value(v) for k, v in zip(node.keys, node.values) if k is not None}
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(item) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else items
    if isinstance(node, ast.Name) and node.id in ('inf', 'nan'):
        return float(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    return ast.literal_eval(node)
