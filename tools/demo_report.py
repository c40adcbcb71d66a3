"""Evaluates a pretraining run on small data: ``python tools/demo_report.py CONFIG WORK_DIR``."""

import argparse
import sys

try:
    from mmssl_prior.cli.boundary import run_guarded
    from mmssl_prior.config import load_config
    from mmssl_prior.evaluation.demo_report import demo_report
except ImportError as error:
    # The package itself, or the compatibility gate's line; any other is a bug with its traceback.
    if error.name != 'mmssl_prior':
        raise
    if isinstance(error, ModuleNotFoundError):
        sys.exit(
            f'error: mmssl_prior is not installed for {sys.executable}; run: make install, then '
            '.venv/bin/python tools/demo_report.py CONFIG WORK_DIR; '
            'or, for this Python: pip install -e .'
        )
    sys.exit(f'error: {error}')


def main() -> int:
    parser = argparse.ArgumentParser(
        description='Print k-NN and linear-probe accuracy of raw pixels, the untrained and the '
        'pretrained network; write results.json and pictures into WORK_DIR.'
    )
    parser.add_argument('config', help='config that the run was started with')
    parser.add_argument('work_dir', help='folder of the run')
    args = parser.parse_args()
    return run_guarded(
        lambda: demo_report(load_config(args.config), args.work_dir), lambda: 'interrupted'
    )


if __name__ == '__main__':
    sys.exit(main())
