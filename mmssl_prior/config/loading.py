"""A config file that is missing or does not parse: one line with the file and the line."""

from pathlib import Path
from types import TracebackType
from typing import Any

from mmengine.config import Config

from mmssl_prior.config.packaged import SCOPE, resolve_config
from mmssl_prior.errors import UserError

__all__ = ['load_config']


def _place(traceback: TracebackType | None) -> tuple[str, int] | None:
    """File and line of the config code that raised, from the frames of the traceback.

    MMEngine evaluates each file inside a frame that knows its name as
    ``filename``; the evaluated code itself carries that name or none at all.
    """
    place, reading = None, ''
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code.co_name == '_file2dict':
            reading = str(frame.f_locals.get('filename', ''))
        elif reading and frame.f_code.co_filename in (reading, ''):
            place = (reading, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place


def _reading(traceback: TracebackType | None) -> list[str]:
    """The config files that were being read, each a base of the one before."""
    names = []
    while traceback is not None:
        if traceback.tb_frame.f_code.co_name == '_file2dict':
            names.append(str(traceback.tb_frame.f_locals.get('filename', '')))
        traceback = traceback.tb_next
    return names


def _import_failure(path: Path, error: ImportError) -> UserError | None:
    """A module of ``custom_imports`` that does not exist; other import errors are bugs."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ModuleNotFoundError):
            return UserError(f'{path}: {cause} (is it installed, or its folder in PYTHONPATH?)')
        cause = cause.__cause__ or cause.__context__
    return None


def _is_mim_index(filename: str | None) -> bool:
    return bool(filename) and Path(str(filename)).parts[-2:] == ('.mim', 'model-index.yml')


def _without_scope(cfg: Config) -> Config:
    """Takes out MMEngine's marks of what came from a base ``mmssl_prior::...``.

    They name a scope to look for classes in. Ours are in MMPretrain's, and
    MMEngine hands the mark to collate functions, which do not know it.
    """

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            if value.get('_scope_') == SCOPE:
                del value['_scope_']
            for item in value.values():
                visit(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                visit(item)

    visit(cfg._cfg_dict)
    return cfg


def load_config(path: str | Path) -> Config:
    """Reads a config file with its bases.

    Args:
        path: The config file, by a name that :func:`resolve_config` takes.

    Returns:
        The config, before any override.

    Raises:
        UserError: If the file is missing, or it or a base does not evaluate.
    """
    path = resolve_config(path)
    try:
        return _without_scope(Config.fromfile(path))
    except ImportError as error:
        failure = _import_failure(path, error)
        if failure is None:
            raise
        raise failure from error
    except SyntaxError as error:
        # MMEngine's message holds the line but not always the file of the original error.
        origin = error.__context__ if isinstance(error.__context__, SyntaxError) else error
        file = [str(path), *_reading(error.__traceback__)][-1]
        raise UserError(f'{file}:{origin.lineno}: {origin.msg}') from error
    except Exception as error:
        place = _place(error.__traceback__)
        files = [str(path), *_reading(error.__traceback__)]
        # MMEngine's first step to a base of another package.
        if isinstance(error, FileNotFoundError) and _is_mim_index(error.filename):
            raise UserError(
                f'{files[-1]}: its _base_ of another package needs {error.filename}, which an '
                'editable install does not have: name the base by its path, or install the '
                'package from a wheel (pip install .)'
            ) from error
        if isinstance(error, FileNotFoundError) and not Path(files[-1]).exists():
            raise UserError(f'{files[-2]}: its _base_ {files[-1]}: no such file') from error
        file, line = place if place else (files[-1], None)
        where = f'{file}:{line}' if line else str(file)
        text = str(error) if isinstance(error, OSError) else f'{type(error).__name__}: {error}'
        raise UserError(f'{where}: {text}') from error
