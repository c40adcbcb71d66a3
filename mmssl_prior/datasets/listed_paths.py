"""Paths that an annotation file names: they stay below the folder that they are relative to."""

import re

from ..errors import UserError, printable

__all__ = ['check_listed', 'check_listed_file']


def check_listed(name, where):
    """Raise unless a path of an annotation file stays below its folder.

    Annotation files come with data from elsewhere; one that names
    ``../../id_rsa`` would have it read. Links in the folder are the user's
    own, and followed.

    Args:
        name (str): The path as the file has it.
        where (str): The file and the line, for the message.

    Raises:
        UserError: If the path is absolute or goes up.
    """
    # Nearly all are harmless, and there may be millions.
    if '..' not in name and '\\' not in name and name[:1] != '/' and name[1:2] != ':':
        return
    outside = name[:1] in '/\\' or re.match('[A-Za-z]:', name)
    if outside or '..' in re.split(r'[\\/]', name):
        raise UserError(
            f'{where}: the path {printable(name)!r:.100} leaves the folder of the images (it is '
            "absolute or has '..'); paths must be relative and below it"
        )


def check_listed_file(path):
    """Check the paths of a list, the first word or the whole of each line.

    Raises:
        UserError: As :func:`check_listed`; the line is named.
    """
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            check_listed(line.strip(), f'{printable(path)}, line {number}')
