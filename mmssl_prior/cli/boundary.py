"""The one place where an exception becomes a line for the user.

Shown as one line (``error: ...``, status 1) are

* :class:`~mmssl_prior.errors.UserError`, the type of every mistake that this
  package finds, wherever it comes from;
* a ``FileNotFoundError`` while a loader reads its dataset;
* an ``AssertionError``, ``ValueError`` or ``TypeError`` in the frame of a
  stock class's constructor, called directly by a registry, or of its base
  class's: the way such classes validate their arguments;
* a call that does not fit a signature (``TypeError``), or an unknown name
  (``KeyError``), raised by the registry itself.

Anything else is a bug and keeps its traceback.
"""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import print_exception
from types import FrameType, TracebackType

from mmssl_prior.errors import Preempted, UserError

__all__ = ['describe', 'run_guarded']

# The frames of MMEngine under which configs turn into objects.
BUILDERS = {'build_from_cfg', 'build_runner_from_cfg', 'build_scheduler_from_cfg'}
# Between a builder and the constructor of a schedule.
CONVERTERS = {'build_iter_from_epoch'}
LOADERS = {'build_dataloader'}
MISTAKES = (AssertionError, ValueError, TypeError)


def _frames(traceback: TracebackType | None) -> list[FrameType]:
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def _is_mmengine(frame: FrameType, names: set[str]) -> bool:
    module = frame.f_globals.get('__name__', '')
    return module.startswith('mmengine.') and frame.f_code.co_name in names


def _class_name(frame: FrameType) -> str:
    """Name of the class under construction in a builder's frame."""
    built = frame.f_locals.get('obj_cls') or frame.f_locals.get('scheduler_cls')
    return getattr(built, '__name__', '')


def _is_constructor(frames: list[FrameType]) -> bool:
    """Whether these are an object's constructor, and those of its base classes."""
    built = [frame.f_locals.get('self') for frame in frames]
    return bool(frames) and all(
        frame.f_code.co_name == '__init__' and one is built[0] for frame, one in zip(frames, built)
    )


def _mistake(error: BaseException) -> str | None:
    """The message of the user's mistake, or None for a bug."""
    frames = _frames(error.__traceback__)
    builders = [i for i, frame in enumerate(frames) if _is_mmengine(frame, BUILDERS)]
    name = _class_name(frames[builders[-1]]) if builders else ''
    message = str(error)
    prefixed = f'{name}: {message}' if name and not message.startswith(name) else message
    if isinstance(error, UserError):
        return _from_worker(prefixed, type(error).__name__)
    if isinstance(error, FileNotFoundError):
        return message if any(_is_mmengine(frame, LOADERS) for frame in frames) else None
    if not builders or not message:
        return None
    inside = [f for f in frames[builders[-1] + 1 :] if not _is_mmengine(f, CONVERTERS)]
    if isinstance(error, KeyError):
        return str(error.args[0]) if not inside else None
    called_wrongly = not inside and isinstance(error, TypeError)
    validated = _is_constructor(inside) and isinstance(error, MISTAKES)
    return prefixed if called_wrongly or validated else None


def _inner(error: BaseException) -> BaseException | None:
    """What the exception was raised from, or again: an unrelated one while handling it is a bug."""
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    # Some versions of MMEngine raise `type(e)(...)` anew with the class's name before the message.
    return error.__context__ if type(error.__context__) is type(error) else None


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = _inner(current)
    return chain


def _from_worker(text: str, kind: str) -> str:
    """The message of a UserError that a loader's worker sent with its traceback around it."""
    if 'Original Traceback' not in text:
        return text
    return re.split(rf'^(?:[\w.]+\.)?{kind}: ', text, flags=re.MULTILINE)[-1]


def describe(error: BaseException) -> str | None:
    """The line for the user, or None if the exception is a bug and wants its traceback."""
    found = (_mistake(link) for link in _chain(error))
    message = next((text for text in found if text), None)
    return ' '.join(message.split()) if message else None


def run_guarded(body: Callable[[], None], interrupted: Callable[[], str]) -> int:
    """Runs the body of a command line and turns its end into an exit status.

    Args:
        body: The work.
        interrupted: Returns the line to show after Ctrl-C or a preemption.

    Returns:
        0; 1 after an error of the user's, shown as one line; 130 after
        Ctrl-C; 75 where the work made room for another and can go on later.
        Any other exception is a bug: its traceback is shown, and 1 returned.
    """
    try:
        return _run(body)
    except (KeyboardInterrupt, Preempted) as ending:
        preempted = isinstance(ending, Preempted)
        if _rank() in ('', '0'):
            with _deaf_to_interrupts():
                if preempted:
                    print(ending, file=sys.stderr)
                print(interrupted(), file=sys.stderr, flush=True)
        return Preempted.STATUS if preempted else 130


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Once is enough: a second Ctrl-C, or a launcher's after the terminal's, would cut the line."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _rank() -> str:
    """The rank of this process, empty where it is the only one."""
    return os.environ.get('RANK', '0') if int(os.environ.get('WORLD_SIZE', '1')) > 1 else ''


def _was_interrupt(error: BaseException) -> bool:
    """Whether a bare ``except`` on the way turned Ctrl-C into this (MMEngine's, around yapf)."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        if isinstance(current, KeyboardInterrupt):
            return True
        seen.append(current)
        current = current.__cause__ or current.__context__
    return False


def _run(body: Callable[[], None]) -> int:
    try:
        body()
    except Exception as error:
        if _was_interrupt(error):
            raise KeyboardInterrupt from error
        message, rank = describe(error), _rank()
        if message is None:
            print_exception(error)
        else:
            print(f'error{f" (rank {rank})" if rank else ""}: {message}', file=sys.stderr)
        return 1
    return 0
