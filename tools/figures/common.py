"""What the scripts of the figures share."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmssl_prior.evaluation.plots import STYLE
from mmssl_prior.insight.prior_plots import PALETTE

BLUE, VERMILION, GREEN, PURPLE, SKY, YELLOW = PALETTE
DARK, PALE = '#22272e', '#9aa3ad'


def figure(rows: int, columns: int, width: float = 4.4, height: float = 3.6) -> Any:
    """A figure and its axes, without a display."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width * columns, height * rows), layout='constrained')
    return made, made.subplots(rows, columns, squeeze=False)


def run(
    name: str,
    compute: Callable[[], dict],
    draw: Callable[[dict], Any],
    say: Callable[[dict], None],
    description: str | None,
    argv: Sequence[str] | None,
) -> int:
    """The command line of a figure: computes, prints the numbers of the text, draws."""
    import matplotlib

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--out', default='docs/images', help='folder (default: docs/images)')
    out = Path(parser.parse_args(argv).out)
    out.mkdir(parents=True, exist_ok=True)
    found = compute()
    say(found)
    with matplotlib.rc_context(STYLE):
        # Equal numbers, equal bytes.
        draw(found).savefig(out / f'{name}.png', metadata={'Software': None})
    print(f'{out / name}.png')
    return 0
