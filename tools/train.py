"""Pretrains or trains a model from a config: ``python tools/train.py CONFIG``."""

import sys

try:
    from mmssl_prior.cli.train import main
except ImportError as error:
    # The compatibility gate's one line; any other import error is a bug and keeps its traceback.
    if error.name != 'mmssl_prior':
        raise
    sys.exit(f'error: {error}')

if __name__ == '__main__':
    sys.exit(main())
