"""Grids of configs over seeds: ``python tools/study.py STUDY``."""

import os
import sys

# Before torch is loaded. Threads that wait actively for each other slow everything down more than
# tenfold as soon as another process wants the cores.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

try:
    from mmssl_prior.cli.study import main
except ImportError as error:
    # The package itself, or the compatibility gate's line; any other is a bug with its traceback.
    if error.name != 'mmssl_prior':
        raise
    if isinstance(error, ModuleNotFoundError):
        sys.exit(
            f'error: mmssl_prior is not installed for {sys.executable}; run: make install, then '
            '.venv/bin/python tools/study.py STUDY; or, for this '
            'Python: pip install -e .'
        )
    sys.exit(f'error: {error}')

if __name__ == '__main__':
    sys.exit(main())
