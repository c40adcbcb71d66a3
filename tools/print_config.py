"""Prints a config with its bases and overrides: ``python tools/print_config.py CONFIG``."""

import contextlib
import io
import sys

try:
    # Some versions of MMPretrain print a line while they are imported; what is printed here is a
    # config, and nothing else.
    with contextlib.redirect_stdout(io.StringIO()):
        from mmssl_prior.cli.print_config import main
except ImportError as error:
    # The package itself, or the compatibility gate's line; any other is a bug with its traceback.
    if error.name != 'mmssl_prior':
        raise
    if isinstance(error, ModuleNotFoundError):
        sys.exit(
            f'error: mmssl_prior is not installed for {sys.executable}; run: make install, then '
            '.venv/bin/python tools/print_config.py CONFIG; or, for this Python: pip install -e .'
        )
    sys.exit(f'error: {error}')

if __name__ == '__main__':
    sys.exit(main())
