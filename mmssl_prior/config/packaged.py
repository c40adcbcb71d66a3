"""The configs that come with the package, found from any folder."""

import difflib
import itertools
from pathlib import Path

from mmssl_prior.errors import UserError

__all__ = ['package_root', 'resolve_config']

PACKAGE = Path(__file__).resolve().parents[1]
# The name before `::` in MMEngine's names of other packages' configs.
SCOPE = 'mmssl_prior'


def package_root() -> Path:
    """The folder with ``configs`` and ``tools``: ``.mim`` of a wheel, else the checkout."""
    mim = PACKAGE / '.mim'
    return mim if mim.is_dir() else PACKAGE.parent


def _near(folder: Path, stem: str) -> str:
    """The config of the nearest name below a folder, or nothing."""
    # The folder may be a home folder, or the whole disk.
    names = {file.stem: file for file in itertools.islice(folder.rglob('*.py'), 2000)}
    near = difflib.get_close_matches(stem, names, n=1)
    return str(names[near[0]]) if near else ''


def _hint(path: Path) -> str:
    """Which file was probably meant: near the path, or in the package."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    near = _near(folder, path.stem) or _near(package_root() / 'configs', path.stem)
    return f' (did you mean {near}?)' if near else ''


def resolve_config(name: str | Path) -> Path:
    """The file that a name means: in the current folder first, then in the package.

    Args:
        name: A path; ``configs/pmsn/x.py`` is of the package where the current
            folder has none. ``mmssl_prior::pmsn/x.py``, as MMEngine writes the
            configs of other packages, always is.

    Raises:
        UserError: If there is no such file.
    """
    text, root = str(name), package_root()
    if text.startswith(f'{SCOPE}::'):
        candidates = [root / 'configs' / text.removeprefix(f'{SCOPE}::')]
    else:
        candidates = list(dict.fromkeys([Path(name), root / name]))
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        places = ' or '.join(str(path) for path in candidates)
        raise UserError(f'config {places}: no such file{_hint(candidates[0])}')
    return found
