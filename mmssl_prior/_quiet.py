"""Keeps known noise of the OpenMMLab packages out of the user's terminal, and nothing else."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

__all__ = ['quiet_import']

# mmpretrain prints it, meant for a debug log, where an optional package is not installed.
LINE = 'Could not import OneDL'
# What warnings begin with that say nothing to a user: an operator of mmcv and a helper of
# torch that nothing here uses.
WARNINGS = (
    'Fail to import ``MultiScaleDeformableAttention``',
    '`TorchScript` support for functional optimizers is deprecated',
)


class _WithoutLine:
    """A text stream that passes everything on but one line.

    ``print`` writes a line in pieces: the beginning of that line waits for the rest.
    """

    def __init__(self, stream: TextIO, line: str) -> None:
        self._stream = stream
        self._line = f'{line}\n'
        self._waiting = ''
        self._fresh = True

    def write(self, text: str) -> int:
        self._waiting += text
        if self._waiting == self._line and self._fresh:
            self._waiting = ''
        elif not (self._fresh and self._line.startswith(self._waiting)):
            self.release()
        return len(text)

    def release(self) -> None:
        """Passes on what waits."""
        if self._waiting:
            self._fresh = self._waiting.endswith('\n')
            self._stream.write(self._waiting)
            self._waiting = ''

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def quiet_import() -> Iterator[None]:
    """Drops that line and those warnings while packages are imported.

    What the packages themselves set (filters, for one) stays. A filter would
    not do here: torch sets its own around one of the warnings.
    """
    show, stdout = warnings.showwarning, sys.stdout

    def show_others(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        if not str(message).startswith(WARNINGS):
            show(message, *args, **kwargs)

    warnings.showwarning = show_others
    # None where a program has no terminal (pythonw).
    filtered = _WithoutLine(stdout, LINE) if stdout is not None else None
    sys.stdout = cast(TextIO, filtered)
    try:
        yield
    finally:
        # What an import has put in their place is not ours to take away.
        if warnings.showwarning is show_others:
            warnings.showwarning = show
        if sys.stdout is cast(TextIO, filtered):
            sys.stdout = stdout
        if filtered is not None:
            filtered.release()
