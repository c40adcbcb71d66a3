"""The one place where an exception becomes a line for the user.

What is shown as one line (``error: ...``, status 1) and what keeps its
traceback is decided by where the exception was raised, not by its type alone:

* :class:`~mmssl_prior.errors.UserError`, wherever it comes from;
* ``ValueError`` or ``FileNotFoundError`` from a ``raise`` statement of this
  package while a registry builds an object or a dataset reads its index: our
  constructors validate their arguments that way. A ``ValueError`` that some
  library raises deeper down is a bug and keeps its traceback;
* an ``AssertionError``, ``ValueError`` or ``TypeError`` that the constructor
  of a stock class raises itself, called directly by the registry: the house
  way of validating arguments;
* a ``FileNotFoundError`` of whatever origin while a loader reads its dataset;
* a call that does not fit the signature (``TypeError``), or an unknown name
  (``KeyError``), raised by the registry itself.
"""

import dis
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from traceback import print_exception
from types import FrameType, TracebackType

import mmssl_prior
from mmssl_prior.errors import UserError

__all__ = ['describe', 'run_guarded']

PACKAGE = str(Path(mmssl_prior.__file__).resolve().parent)
RAISE = dis.opmap['RAISE_VARARGS']
# The frames of MMEngine under which configs turn into objects.
BUILDERS = {'build_from_cfg', 'build_runner_from_cfg', 'build_scheduler_from_cfg'}
LOADERS = {'build_dataloader'}


def _links(traceback: TracebackType | None) -> list[TracebackType]:
    links = []
    while traceback is not None:
        links.append(traceback)
        traceback = traceback.tb_next
    return links


def _is_raise(link: TracebackType) -> bool:
    """Whether the frame is at a ``raise`` or ``assert`` of its own, not at a failing operation."""
    return link.tb_frame.f_code.co_code[link.tb_lasti] == RAISE


def _file(frame: FrameType) -> str:
    return os.path.realpath(frame.f_code.co_filename)


def _in_package(frame: FrameType) -> bool:
    return _file(frame).startswith(PACKAGE + os.sep)


def _is_builder(frame: FrameType, names: set[str]) -> bool:
    module = frame.f_globals.get('__name__', '')
    return module.startswith('mmengine.') and frame.f_code.co_name in names


def _class_name(frame: FrameType) -> str:
    """Name of the class under construction in a builder's frame."""
    built = frame.f_locals.get('obj_cls') or frame.f_locals.get('scheduler_cls')
    return getattr(built, '__name__', '')


def _build_mistake(error: BaseException) -> str | None:
    """The message of a config mistake found while building, or None."""
    links = _links(error.__traceback__)
    if not links or not str(error):
        return None
    last = links[-1]
    builders = [link for link in links if _is_builder(link.tb_frame, BUILDERS)]
    loading = any(_is_builder(link.tb_frame, LOADERS) for link in links)
    name = _class_name(builders[-1].tb_frame) if builders else ''
    prefix = f'{name}: ' if name else ''
    if builders and last is builders[-1]:
        if isinstance(error, KeyError):
            return str(error.args[0])
        # The call itself failed: its arguments do not fit.
        return f'{prefix}{error}' if isinstance(error, TypeError) else None
    if loading and isinstance(error, FileNotFoundError):
        return str(error)
    if not (builders or loading) or not _is_raise(last):
        return None
    if _in_package(last.tb_frame) and isinstance(error, (ValueError, FileNotFoundError)):
        return f'{prefix}{error}'
    direct = bool(builders) and links.index(last) == links.index(builders[-1]) + 1
    if direct and isinstance(error, (AssertionError, ValueError, TypeError)):
        return f'{prefix}{error}'
    return None


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain


def _from_worker(text: str) -> str:
    """The message of a UserError that a loader's worker sent with its traceback around it."""
    if 'Original Traceback' not in text:
        return text
    return re.split(r'^(?:[\w.]+\.)?UserError: ', text, flags=re.MULTILINE)[-1]


def describe(error: BaseException) -> str | None:
    """The line for the user, or None if the exception is a bug and wants its traceback."""
    if isinstance(error, UserError):
        message: str | None = _from_worker(str(error))
    else:
        # Some versions of MMEngine raise anew with the class's name before the message.
        found = (_build_mistake(link) for link in _chain(error))
        message = next((text for text in found if text), None)
    return ' '.join(message.split()) if message else None


def run_guarded(body: Callable[[], None], interrupted: Callable[[], str]) -> int:
    """Runs the body of a command line and turns its end into an exit status.

    Args:
        body: The work.
        interrupted: Returns the line to show after Ctrl-C.

    Returns:
        0; 1 after an error of the user's, shown as one line; 130 after Ctrl-C.
        Any other exception is a bug: its traceback is shown, and 1 returned.
    """
    rank = os.environ.get('RANK', '0') if int(os.environ.get('WORLD_SIZE', '1')) > 1 else ''
    try:
        body()
    except KeyboardInterrupt:
        if rank in ('', '0'):
            print(interrupted(), file=sys.stderr)
        return 130
    except Exception as error:
        message = describe(error)
        if message is None:
            print_exception(error)
        else:
            print(f'error{f" (rank {rank})" if rank else ""}: {message}', file=sys.stderr)
        return 1
    return 0
