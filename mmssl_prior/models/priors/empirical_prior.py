import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmpretrain.registry import TASK_UTILS
from torch import Tensor

from ...errors import UserError, printable
from ...functional import empirical_prior
from .base import Prior

__all__ = ['EmpiricalPrior']

SUFFIXES = ('', '.txt', '.csv', '.npy')
GIVEN = 'expected a list of positive numbers, one for each class, or the path of a file'
EXPECTED = 'expected one positive number a line (.txt, .csv), or a one-dimensional .npy file'


@TASK_UTILS.register_module()
class EmpiricalPrior(Prior):
    """Class counts as a prior, sorted and resampled to the number of prototypes.

    The counts come from a list, from a file, or, where none are given, from
    the labels of the training set: ``FitPriorHook`` counts them before
    training and calls :meth:`fit`.

    Args:
        counts: Class counts of shape (C,), all positive; or the path of a
            text file (``.txt`` or ``.csv``) with one count a line, or of a
            ``.npy`` file; None waits for the training set's.
        resample: Resample C classes to K prototypes over equal intervals of
            rank, with mass preserved; the identity when K = C. If False,
            C != K is an error.

    Raises:
        UserError: If the file is missing, of another format, or not a list of
            positive numbers (the line names file and entry), if ``counts`` is
            no list of numbers, or if the prior is used before its counts are
            known.
        ValueError: If counts are not finite or not positive.

    Example:
        >>> EmpiricalPrior([1, 3])(4).tolist()
        [0.375, 0.375, 0.125, 0.125]
    """

    def __init__(
        self, counts: Sequence[float] | str | Path | None = None, resample: bool = True
    ) -> None:
        self.resample = resample
        self.counts: np.ndarray | None = None
        if isinstance(counts, (str, Path)):
            self.fit(_read_counts(Path(counts)))
        elif counts is not None:
            self.fit(counts)

    @property
    def is_fitted(self) -> bool:
        return self.counts is not None

    def fit(self, counts: Sequence[float] | np.ndarray) -> None:
        """Set the class counts, shape (C,), all positive."""
        try:
            values = np.asarray(counts, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(
                f'EmpiricalPrior: counts={printable(counts)}: {error}; {GIVEN}'
            ) from error
        if values.ndim != 1 or not len(values):
            raise UserError(f'EmpiricalPrior: counts of shape {values.shape}; {GIVEN}')
        empirical_prior(values, len(values))  # bad counts fail here, not at the first loss
        self.counts = values

    def probabilities(self, num_prototypes: int) -> Tensor:
        if self.counts is None:
            raise UserError(
                'EmpiricalPrior has no class counts: give counts=[...], a file, or add '
                "dict(type='FitPriorHook') to custom_hooks, which counts the training labels"
            )
        return empirical_prior(self.counts, num_prototypes, self.resample)


def _read_counts(path: Path) -> np.ndarray:
    """Class counts of a file; what is wrong with it is named with the file."""
    name = f'EmpiricalPrior: class counts in {printable(path)}'
    if not path.is_file():
        problem = 'is a folder' if path.is_dir() else 'does not exist'
        raise UserError(f'{name}: the file {problem}; {EXPECTED}')
    if path.suffix not in SUFFIXES:
        raise UserError(f'{name}: unknown extension {path.suffix!r}; {EXPECTED}')
    try:
        read = _read_array(path) if path.suffix == '.npy' else _read_text(path)
        if np.iscomplexobj(read):
            raise TypeError('the numbers are complex')
        values = np.asarray(read, dtype=np.float64)
    except (OSError, ValueError, TypeError, EOFError, SyntaxError) as e:
        raise UserError(f'{name}: {" ".join(str(e).split())}; {EXPECTED}') from e
    if values.ndim != 1 or not len(values):
        raise UserError(f'{name}: shape {values.shape}; {EXPECTED}')
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(bad):
        raise UserError(
            f'{name}: entry {bad[0]} (counted from 0) is {values[bad[0]]:g}; {EXPECTED}, without '
            'empty classes'
        )
    return values


def _read_array(path: Path) -> np.ndarray:
    with open(path, 'rb') as file:
        # np.load takes archives and pickles too, whatever the name, and advises to allow them.
        if file.read(1) == b'':
            raise EOFError('the file is empty')
        file.seek(0)
        try:
            return np.lib.format.read_array(file, allow_pickle=False)
        except ValueError as error:
            kind = 'holds objects' if 'Object arrays' in str(error) else 'is not a whole .npy file'
            raise ValueError(f'the file {kind}') from error


def _read_text(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        # An empty file is an error here, not a warning.
        warnings.filterwarnings('ignore', message='loadtxt: input contained no data')
        return np.loadtxt(path, ndmin=1)
