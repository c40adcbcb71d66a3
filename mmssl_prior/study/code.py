"""What a result depends on in the code, as a digest that comments and docs leave alone."""

import ast
import functools
import hashlib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ['CodeTree', 'file_digest', 'package_code']

REGISTERED = re.compile(
    r'^@\w+\.register_module\([^)]*\)\n(?:@[^\n]*\n)*(?:class|def) (\w+)', re.MULTILINE
)
#: Not a matter of what is computed, or of Python's version.
SKIPPED = {'ctx', 'kind', 'type_comment'}
SCOPES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class _Module(NamedTuple):
    """A file: what it says, whom it imports, and the texts in it, which may name classes."""

    digest: str
    imports: tuple[tuple[str, str, str], ...]  # module, name there, name here
    texts: frozenset[str]


class CodeTree:
    """The modules of a package, and which of them are behind a class.

    A config names classes; a module imports others and names classes in
    texts, which the registries find. All that can be reached so is the code
    of the config. A class that is reached in no such way is not noticed;
    ``tests/study/test_code.py`` watches a training for calls of such.

    The digest is one of syntax trees, without docstrings, the words of errors
    and ``__all__``; it is the same under each version of Python.

    Args:
        root: Folder of the package.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.files: dict[str, Path] = {}
        for path in sorted(self.root.rglob('*.py')):
            parts = (self.root.name, *path.relative_to(self.root).with_suffix('').parts)
            self.files['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
        self._modules: dict[str, _Module] = {}

    @functools.cached_property
    def registered(self) -> dict[str, str]:
        """Module of each class or function that a registry knows by its name."""
        return {
            name: module
            for module, path in self.files.items()
            for name in REGISTERED.findall(path.read_text(encoding='utf-8'))
        }

    def reached(
        self,
        names: Iterable[str] = (),
        modules: Iterable[str] = (),
        rooms: Iterable[str] | None = None,
        texts: bool = True,
    ) -> set[str]:
        """Modules behind registered names and modules.

        Args:
            names: As in a config; others than registered ones are passed over.
            modules: To begin with, by their dotted names.
            rooms: Subpackages to stay in; by default all.
            texts: Whether the classes that modules name in texts are followed too.
        """
        inside = None if rooms is None else tuple(f'{self.root.name}.{room}' for room in rooms)
        waiting = [*modules, *(self.registered[n] for n in names if n in self.registered)]
        found: set[str] = set()
        while waiting:
            module = waiting.pop()
            if module in found or not _within(module, inside):
                continue
            found.add(module)
            read = self._read(module)
            waiting += [self._origin(base, name) for base, name, _ in read.imports]
            if texts:
                waiting += [self.registered[text] for text in read.texts & self.registered.keys()]
        return found

    def digest(self, modules: Iterable[str]) -> str:
        """Of some modules, 16 hexadecimal digits."""
        return _digest(f'{name}:{self._read(name).digest}' for name in sorted(modules))

    def _read(self, module: str) -> _Module:
        if module not in self._modules:
            path = self.files[module]
            tree = _without_words(ast.parse(path.read_text(encoding='utf-8')))
            package = module.split('.') if path.name == '__init__.py' else module.split('.')[:-1]
            self._modules[module] = _Module(
                _digest([_canonical(tree)]),
                tuple(self._imports(tree, package)),
                frozenset(
                    node.value
                    for node in ast.walk(tree)
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                ),
            )
        return self._modules[module]

    def _imports(self, tree: ast.AST, package: list[str]) -> Iterator[tuple[str, str, str]]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name in self.files:
                        yield alias.name, '', alias.asname or alias.name
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) + 1 - node.level] if node.level else []
                base = '.'.join([*above, *([node.module] if node.module else [])])
                if base in self.files:
                    for alias in node.names:
                        yield base, alias.name, alias.asname or alias.name

    def _origin(self, base: str, name: str) -> str:
        """The module that defines what ``from base import name`` gives."""
        if f'{base}.{name}' in self.files:
            return f'{base}.{name}'
        if name and self.files[base].name == '__init__.py':
            for module, inner, here in self._read(base).imports:
                if here == name:
                    return self._origin(module, inner)
        return base


def _within(module: str, rooms: tuple[str, ...] | None) -> bool:
    return rooms is None or any(module == room or module.startswith(f'{room}.') for room in rooms)


@functools.cache
def package_code() -> CodeTree:
    """Of this package."""
    return CodeTree(Path(__file__).resolve().parents[1])


def file_digest(module: str) -> str:
    """Of a module of the user's (or of all files of a package), by its dotted name."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return ''
    path = Path(spec.origin)
    files = sorted(path.parent.rglob('*.py')) if path.name == '__init__.py' else [path]
    if path.suffix != '.py':
        return _digest([spec.name])
    return _digest(_canonical(_without_words(ast.parse(f.read_text('utf-8')))) for f in files)


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode('utf-8', 'surrogatepass') + b'\n')
    return digest.hexdigest()[:16]


def _without_words(tree: ast.Module) -> ast.Module:
    """Without docstrings, words of errors and ``__all__``; changes the tree."""
    for node in ast.walk(tree):
        if isinstance(node, SCOPES):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                if isinstance(first.value.value, str):
                    node.body = node.body[1:]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
    tree.body = [node for node in tree.body if not _is_all(node)]
    return tree


def _is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == '__all__' for target in node.targets
    )


def _canonical(node: Any) -> str:
    """A syntax tree as text; ``ast.dump`` differs between versions of Python."""
    if isinstance(node, ast.AST):
        fields = (
            f'{name}={_canonical(value)}'
            for name, value in ast.iter_fields(node)
            if name not in SKIPPED and value is not None and value != []
        )
        return f'{type(node).__name__}({",".join(fields)})'
    if isinstance(node, list):
        return f'[{",".join(map(_canonical, node))}]'
    return repr(node)
