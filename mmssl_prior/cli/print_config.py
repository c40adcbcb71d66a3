"""The body of ``tools/print_config.py``: the whole config, as it would run."""

import argparse
from collections.abc import Sequence

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.cli.options import add_config_arguments, read_config
from mmssl_prior.config import check_arguments

__all__ = ['main']


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Print a config with its bases and overrides put together, as Python; '
        'then check it as training would'
    )
    add_config_arguments(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(argv)

    def body() -> None:
        cfg = read_config(args)
        # Before the check: where an argument is wrong, this shows where it comes from.
        print(cfg.pretty_text, flush=True)
        check_arguments(cfg)

    return run_guarded(body, lambda: 'interrupted')


if __name__ == '__main__':
    raise SystemExit(main())
