"""The gate at import: one provider of each OpenMMLab package, in a supported version.

The plugin does not list these packages among its requirements, since
installing it must not replace the ones a user has. Two providers share the
import names: the maintained forks (``onedl-*``) and upstream. Both in one
environment overwrite each other's files.
"""

import ctypes
import importlib
import os
import re
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib import metadata
from types import ModuleType

from packaging.version import Version

__all__ = ['check_stack', 'import_yapf']


@dataclass(frozen=True)
class Requirement:
    """A distribution that provides an import name, with the versions that are supported."""

    distribution: str
    minimum: str
    below: str

    def __str__(self) -> str:
        return f"'{self.distribution}>={self.minimum},<{self.below}'"


@dataclass(frozen=True)
class Limit:
    """A distribution that the stack no longer works with from some version on."""

    distribution: str
    below: str
    reason: str
    pins: str


ONEDL = {
    'mmengine': Requirement('onedl-mmengine', '0.10.12', '1.0'),
    'mmcv': Requirement('onedl-mmcv', '2.3.6', '3.0'),
    'mmpretrain': Requirement('onedl-mmpretrain', '1.3.6', '2.0'),
}
UPSTREAM = {
    'mmengine': Requirement('mmengine', '0.10.7', '1.0'),
    'mmcv': Requirement('mmcv-lite', '2.2.0', '3.0'),
    'mmpretrain': Requirement('mmpretrain', '1.2.0', '2.0'),
}
# Upstream stands still while these go on; the extra `openmmlab` of setup.py pins the same.
UPSTREAM_LIMITS = (
    Limit(
        'torch',
        '2.6',
        "mmengine cannot load its own checkpoints (torch.load's weights_only)",
        "'torch<2.6' 'torchvision<0.21'",
    ),
    Limit('numpy', '2', "mmcv's hue jitter fails", "'numpy<2' 'opencv-python<4.12'"),
)
UPSTREAM_PYTHON = (3, 12)
# Every distribution known to provide the import name.
PROVIDERS = {
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite', 'mmcv-full'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
}
# The shared libraries that the OpenCV wheels expect from the system, and their Debian packages.
SYSTEM_LIBRARIES = {
    'libGL.so.1': 'libgl1',
    'libgthread-2.0.so.0': 'libglib2.0-0',
    'libglib-2.0.so.0': 'libglib2.0-0',
    'libxcb.so.1': 'libxcb1',
    'libSM.so.6': 'libsm6',
    'libICE.so.6': 'libice6',
    'libXext.so.6': 'libxext6',
    'libXrender.so.1': 'libxrender1',
    'libX11.so.6': 'libx11-6',
    'libstdc++.so.6': 'libstdc++6',
}
# Those of the list that importing cv2 loads; looked for together, so that one line names all.
LOADED_AT_IMPORT = ('libGL.so.1', 'libgthread-2.0.so.0', 'libxcb.so.1')


def _fail(message: str) -> ImportError:
    # `name` lets the command line tools tell the gate from an import that is broken.
    return ImportError(f'mmssl_prior: {message}', name='mmssl_prior')


def _installed(name: str) -> dict[str, str]:
    """Distribution to version, of those installed that provide the import name."""
    found = {}
    for distribution in PROVIDERS[name]:
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found


def _missing_library(error: ImportError) -> str | None:
    match = re.match(r'(lib\S+\.so\S*): cannot open shared object file', str(error))
    return match.group(1) if match else None


def _system_packages(library: str) -> str:
    """The command that installs what provides the library and others that are missing too."""
    missing = [library]
    for other in LOADED_AT_IMPORT:
        try:
            ctypes.CDLL(other)
        except OSError:
            missing.append(other)
    packages = sorted({SYSTEM_LIBRARIES[lib] for lib in missing if lib in SYSTEM_LIBRARIES})
    if not packages:
        return f'install the system package that holds {library} (apt-file search {library})'
    return f'apt-get install {" ".join(packages)}'


def _import(name: str, remedy: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == 'cv2':
            raise _fail('OpenCV is not installed; run: pip install opencv-python') from None
        if error.name != name:
            raise
        raise _fail(f'{name} is not installed; run: {remedy}') from None
    except ImportError as error:
        library = _missing_library(error)
        if library is None:
            raise
        raise _fail(
            f'OpenCV needs the system library {library}; run: {_system_packages(library)}'
        ) from None


def _check_limits(everything: list[str], instead: str) -> None:
    """What upstream's packages need of the rest, looked up before anything of it is imported."""
    stack = f'upstream OpenMMLab ({", ".join(everything)})'
    if sys.version_info[:2] > UPSTREAM_PYTHON:
        newest, found = (
            f'{major}.{minor}' for major, minor in (UPSTREAM_PYTHON, sys.version_info[:2])
        )
        raise _fail(
            f'{stack} needs Python {newest} or older, this is {found}; '
            f'make the environment with one, or run: {instead}'
        )
    reasons, pins = [], []
    for limit in UPSTREAM_LIMITS:
        try:
            found = metadata.version(limit.distribution)
        except metadata.PackageNotFoundError:
            continue
        # Release numbers alone: a vendor's 2.6.0a0 sorts before 2.6 and is like it.
        if Version(found).release >= Version(limit.below).release:
            reasons.append(f'with {limit.distribution} {found} {limit.reason}')
            pins.append(limit.pins)
    if reasons:
        raise _fail(f'{stack}: {", and ".join(reasons)}; run: pip install {" ".join(pins)}')


def check_stack() -> None:
    """Imports mmengine, mmcv (and with it OpenCV) and mmpretrain in supported versions.

    Raises:
        ImportError: With one line that names the command to run, and with
            ``name='mmssl_prior'``.
    """
    installed = {name: _installed(name) for name in PROVIDERS}
    doubled = sorted({d for found in installed.values() if len(found) > 1 for d in found})
    everything = sorted({d for found in installed.values() for d in found})
    upstream = [d for d in everything if not d.startswith('onedl-')]
    stack = UPSTREAM if upstream else ONEDL
    install_all = 'pip install ' + ' '.join(map(str, ONEDL.values()))
    instead = f'pip uninstall -y {" ".join(everything)} && {install_all}'
    if doubled:
        raise _fail(f'{" and ".join(doubled)} overwrite each other; run: {instead}')
    if upstream and upstream != everything:
        raise _fail(f'{" and ".join(everything)} are of two stacks, take one; run: {instead}')
    if upstream:
        _check_limits(everything, instead)
    for name, requirement in stack.items():
        # In an environment with nothing, one command brings everything.
        remedy = f'pip install {requirement}' if everything else install_all
        for distribution in installed[name]:
            # Recorded as installed: only its files can be missing.
            own = replace(requirement, distribution=distribution)
            remedy = f'pip install --force-reinstall --no-deps {own}'
        module = _import(name, remedy)
        distribution, found = next(
            iter(installed[name].items()), (name, getattr(module, '__version__', '0'))
        )
        if not Version(requirement.minimum) <= Version(found) < Version(requirement.below):
            # Another provider of the name would be overwritten, not replaced.
            other = installed[name] and distribution != requirement.distribution
            away = f'pip uninstall -y {distribution} && ' if other else ''
            raise _fail(
                f'{distribution} {found} is not supported '
                f'(>={requirement.minimum},<{requirement.below}); '
                f'run: {away}pip install {requirement}'
            )


def import_yapf() -> None:
    """Imports yapf, which prints MMEngine's configs, apart from its cache.

    It keeps its grammar in the user's cache folder, written in place and read
    back unchecked: ranks that start together on a new machine read a
    neighbour's half-written file, and a write that was cut off fails every
    later run. Building the grammar anew takes some 20 ms.
    """
    variable = 'XDG_CACHE_HOME'
    before = os.environ.get(variable)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[variable] = folder
        try:
            importlib.import_module('yapf')
        except ModuleNotFoundError:
            pass  # MMEngine requires it, and says so itself
        finally:
            if before is None:
                del os.environ[variable]
            else:
                os.environ[variable] = before
