"""Encoders of other libraries to this one's, and back; or as ONNX and torch programs:

python tools/convert.py SOURCE OUT --to FORMAT
"""

import sys

try:
    from mmssl_prior.cli.convert import main
except ImportError as error:
    # The package itself, or the compatibility gate's line; any other is a bug with its traceback.
    if error.name != 'mmssl_prior':
        raise
    if isinstance(error, ModuleNotFoundError):
        sys.exit(
            f'error: mmssl_prior is not installed for {sys.executable}; run: make install, then '
            '.venv/bin/python tools/convert.py SOURCE OUT --to FORMAT; '
            'or, for this Python: pip install -e .'
        )
    sys.exit(f'error: {error}')

if __name__ == '__main__':
    sys.exit(main())
