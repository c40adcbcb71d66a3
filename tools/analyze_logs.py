"""Curves and times from the logs of runs: ``python tools/analyze_logs.py TASK RUN``."""

import sys

try:
    from mmssl_prior.cli.analyze_logs import main
except ImportError as error:
    # The package itself, or the compatibility gate's line; any other is a bug with its traceback.
    if error.name != 'mmssl_prior':
        raise
    if isinstance(error, ModuleNotFoundError):
        sys.exit(
            f'error: mmssl_prior is not installed for {sys.executable}; run: make install, then '
            '.venv/bin/python tools/analyze_logs.py TASK RUN; or, for this Python: pip install -e .'
        )
    sys.exit(f'error: {error}')

if __name__ == '__main__':
    sys.exit(main())
