"""Errors that are the user's to mend: shown as one line, without a traceback."""

__all__ = ['UserError']


class UserError(ValueError):
    """A mistake in what the user gave: config, data, checkpoint, command line.

    The message is one line that names the file, field or shape and the
    remedy. The command line tools print it and exit with status 1. It is a
    ``ValueError``, so that callers in Python need not know this class.
    """
