"""The body of ``tools/analyze_logs.py``: curves and times of one or several runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmssl_prior.cli.boundary import run_guarded
from mmssl_prior.errors import UserError
from mmssl_prior.evaluation.plots import plot_curves
from mmssl_prior.evaluation.training_log import read_training_log, train_time

__all__ = ['cal_train_time', 'main', 'plot_curve']

RUN = 'work dir of a run (with all its resumes), or a scalars.json in it'
KEYS = ['loss_ce', 'prior_kl', 'p_bar_entropy', 'target_prototypes', 'target_max', 'knn_top1']


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Curves and times from the logs of runs')
    tasks = parser.add_subparsers(dest='task', required=True)
    plot = tasks.add_parser('plot_curve', help='draw logged values, a panel for each key')
    plot.add_argument('runs', nargs='+', metavar='RUN', help=RUN)
    plot.add_argument(
        '--keys',
        nargs='+',
        metavar='KEY',
        help=f'names of scalars (default: those of {", ".join(KEYS)} that were logged)',
    )
    plot.add_argument('--legend', nargs='+', metavar='NAME', help='a name for each run')
    plot.add_argument('--title', default='', help='above the picture')
    plot.add_argument('--out', default='curves.png', help='file to write (default: curves.png)')
    times = tasks.add_parser('cal_train_time', help='print the seconds of an iteration')
    times.add_argument('runs', nargs='+', metavar='RUN', help=RUN)
    times.add_argument(
        '--include-outliers', action='store_true', help='count the first value of each epoch too'
    )
    return parser.parse_args(argv)


def _labels(runs: Sequence[str], legend: Sequence[str] | None) -> list[str]:
    if legend is not None:
        if len(legend) != len(runs):
            raise UserError(f'--legend has {len(legend)} names for {len(runs)} runs')
        labels = list(legend)
    else:
        names = [Path(run).resolve().name for run in runs]
        # A file is called scalars.json in every run, and two folders may have one name.
        labels = names if len(set(names)) == len(names) else list(runs)
    if len(set(labels)) != len(labels):
        raise UserError(f'two runs have one name: {", ".join(labels)}; name them with --legend')
    return labels


def plot_curve(
    runs: Sequence[str],
    keys: Sequence[str] | None,
    out: Path,
    legend: Sequence[str] | None = None,
    title: str = '',
) -> None:
    """Draws the curves of the keys; x is the epoch where every run logged epochs.

    Raises:
        UserError: If a run has no log, a key was not logged, or the file
            cannot be written.
    """
    labels = _labels(runs, legend)
    logs = {label: read_training_log(run) for label, run in zip(labels, runs)}
    by_epoch = all('epoch' in log for log in logs.values())
    if keys is None:
        keys = [key for key in KEYS if any(key in log for log in logs.values())] or ['loss']
    for key in keys:
        missing = [label for label, log in logs.items() if key not in log]
        # One of several runs may lack it: MSN and a supervised run share some keys.
        if len(missing) == len(logs):
            known = sorted({name for log in logs.values() for name in log} - {'epoch', 'iter'})
            raise UserError(f'--keys {key}: not logged by {missing[0]}; it has {", ".join(known)}')
    curves = {label: read_training_log(run, by_epoch) for label, run in zip(labels, runs)}
    panels = {key: {label: log[key] for label, log in curves.items() if key in log} for key in keys}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        plot_curves(out, panels, 'epoch' if by_epoch else 'iteration', title)
    except (OSError, ValueError) as error:  # a folder, no permission, or no image format
        raise UserError(f'--out {out}: {error}') from error


def cal_train_time(runs: Sequence[str], include_outliers: bool = False) -> str:
    """The report of ``cal_train_time``, a paragraph for each run."""
    paragraphs = []
    for run in runs:
        times = train_time(run, include_outliers)
        lines = [f'{run}: {times.iterations} iterations']
        if times.by_epoch:
            slowest = max(times.by_epoch, key=lambda epoch: times.by_epoch[epoch])
            fastest = min(times.by_epoch, key=lambda epoch: times.by_epoch[epoch])
            lines += [
                f'  slowest epoch {slowest}: {times.by_epoch[slowest]:.4f} s/iter',
                f'  fastest epoch {fastest}: {times.by_epoch[fastest]:.4f} s/iter',
                f'  deviation over {len(times.by_epoch)} epochs: {times.spread:.4f} s/iter',
            ]
        lines.append(f'  mean: {times.mean:.4f} s/iter, {times.data_share:.0%} waiting for data')
        paragraphs.append('\n'.join(lines))
    return '\n'.join(paragraphs)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(argv)

    def body() -> None:
        if args.task == 'plot_curve':
            plot_curve(args.runs, args.keys, Path(args.out), args.legend, args.title)
            print(args.out)
        else:
            print(cal_train_time(args.runs, args.include_outliers))

    return run_guarded(body, lambda: 'interrupted')


if __name__ == '__main__':
    raise SystemExit(main())
