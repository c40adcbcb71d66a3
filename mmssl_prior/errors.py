"""Errors that are the user's to mend: shown as one line, without a traceback."""

__all__ = ['UserError']


class UserError(Exception):
    """A mistake in the input (config, data, checkpoint, command line).

    The message is one line that names the file, field or shape and the
    remedy. The command line tools print it and exit with status 1.
    """
