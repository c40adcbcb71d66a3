"""The body of ``tools/check_dataset.py``: what a raw download lacks, and where."""

import argparse
from collections.abc import Sequence

from mmengine.registry import init_default_scope

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.errors import UserError
from mmssl_prior.evaluation.dataset_check import check_dataset
from mmssl_prior.evaluation.tasks import SEVEN, TASKS

__all__ = ['main']


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Parse all annotations of a raw download, look for its images, compare sizes '
        'and splits; status 1 if something has to be mended'
    )
    parser.add_argument('name', choices=SEVEN, help='task whose data to look at')
    parser.add_argument(
        '--data-root', required=True, help='folder of this download (not of all of them)'
    )
    parser.add_argument('--decode', action='store_true', help='read every image, too')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(argv)

    def body() -> None:
        init_default_scope('mmpretrain')
        task = TASKS[args.name]
        root = task.root('', {task.name: args.data_root})
        report = check_dataset(task, root, args.decode)
        for line in report.found:
            print(line)
        for line in report.notes:
            print(f'note: {line}')
        for line in report.problems:
            print(f'problem: {line}')
        if report.problems:
            count = len(report.problems)
            raise UserError(f'{task.title}: {count} problem{"s" if count > 1 else ""}, see above')
        print(f'{task.title}: nothing to mend')

    return run_guarded(body, lambda: 'interrupted')


if __name__ == '__main__':
    raise SystemExit(main())
