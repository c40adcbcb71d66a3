"""A config file that is missing or does not parse: one line with the file and the line."""

import difflib
from pathlib import Path
from types import TracebackType

from mmengine.config import Config

from mmssl_prior.errors import UserError

__all__ = ['load_config']


def _near_files(path: Path) -> str:
    """Names of configs beside the missing one, or in the nearest folder that exists."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    names = {file.stem: file for file in sorted(folder.rglob('*.py'))[:2000]}
    near = difflib.get_close_matches(path.stem, names, n=1)
    return f' (did you mean {names[near[0]]}?)' if near else ''


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


def load_config(path: str | Path) -> Config:
    """Reads a config file with its bases.

    Args:
        path: The config file.

    Returns:
        The config, before any override.

    Raises:
        UserError: If the file is missing, or it or a base does not evaluate.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'config {path}: no such file{_near_files(path)}')
    try:
        return Config.fromfile(path)
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
        if isinstance(error, FileNotFoundError) and not Path(files[-1]).exists():
            raise UserError(f'{files[-2]}: its _base_ {files[-1]}: no such file') from error
        file, line = place if place else (files[-1], None)
        where = f'{file}:{line}' if line else str(file)
        text = str(error) if isinstance(error, OSError) else f'{type(error).__name__}: {error}'
        raise UserError(f'{where}: {text}') from error
