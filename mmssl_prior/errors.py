"""Errors that are the user's to mend: shown as one line, without a traceback."""

import os

__all__ = ['Preempted', 'UserError', 'printable']


class UserError(ValueError):
    """A mistake in what the user gave: config, data, checkpoint, command line.

    The message is one line that names the file, field or shape and the
    remedy. The command line tools print it and exit with status 1. It is a
    ``ValueError``, so that callers in Python need not know this class.
    """


class Preempted(SystemExit):
    """The system asked the training to make room: it stopped behind a checkpoint.

    The exit status is 75, ``EX_TEMPFAIL``: to be started again with ``--resume``.
    """

    STATUS = 75

    def __init__(self, message: str = 'preempted') -> None:
        super().__init__(self.STATUS)
        self.message = message

    def __str__(self) -> str:
        return self.message


def printable(path: object) -> str:
    r"""A file's name as text that any terminal, log file and CSV can take.

    Names are bytes to the system. Those that are not UTF-8 reach Python with
    lone surrogates, which no stream accepts; here their bytes are written as
    escapes, and line breaks too.

    >>> printable(os.fsdecode(b'caf\xe9.jpg'))
    'caf\\xe9.jpg'
    """
    text = os.fsencode(os.fspath(path) if isinstance(path, os.PathLike) else str(path))
    return text.decode('utf-8', 'backslashreplace').replace('\n', '\\n').replace('\r', '\\r')
