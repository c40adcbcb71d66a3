"""Suggests a prior: ``python tools/suggest_prior.py counts|labels|images ...``."""

import sys

try:
    from mmssl_prior.cli.suggest_prior import main
except ImportError as error:
    # The package itself, or the compatibility gate's line; any other is a bug with its traceback.
    if error.name != 'mmssl_prior':
        raise
    if isinstance(error, ModuleNotFoundError):
        sys.exit(
            f'error: mmssl_prior is not installed for {sys.executable}; run: make install, then '
            '.venv/bin/python tools/suggest_prior.py --help; or, for this Python: pip install -e .'
        )
    sys.exit(f'error: {error}')

if __name__ == '__main__':
    sys.exit(main())
