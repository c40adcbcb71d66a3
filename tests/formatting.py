"""A Runner formats its config four times over; the tests start hundreds."""

import functools

from yapf.yapflib import yapf_api

__all__ = ['format_once']


@functools.cache
def format_once() -> None:
    """Lets yapf format the same text once in a process."""
    format_code, known = yapf_api.FormatCode, {}

    @functools.wraps(format_code)
    def formatted(text, **style):
        key = text, repr(style)
        if key not in known:
            known[key] = format_code(text, **style)
        return known[key]

    yapf_api.FormatCode = formatted
