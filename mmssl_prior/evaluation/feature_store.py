"""Features of a dataset on disk: extracted once by all ranks, then memory-mapped."""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine import dist
from torch import Tensor, nn

from ..errors import UserError, printable
from ..models.classifiers import trunk_features
from .chunk_rows import ChunkRows, Forward
from .feature_files import LABELS, complete, extract, finish, prepare
from .features import Features, evaluated_backbone
from .identity import dataset_digest, images_digest, module_digest, pipeline_text

__all__ = ['FeatureStore']

VERSION = 1
DTYPES = ('float16', 'float32')


class FeatureStore(NamedTuple):
    """Features of every image of a dataset, in files.

    A folder with an array ``<feature>.npy`` of shape (N, D) for each feature,
    ``labels.npy``, and ``manifest.json``, which is written last: without it
    nothing is taken for features. :meth:`open_or_extract` makes one.

    Attributes:
        folder: Where the files are.
        manifest: What they hold and what they depend on.
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open_or_extract(
        cls,
        root: str | Path,
        model: nn.Module,
        dataset: Any,
        features: Sequence[str] = ('cls',),
        *,
        backbone: nn.Module | None = None,
        forward: Forward | None = None,
        identity: Sequence[str] = (),
        dtype: str = 'float16',
        batch_size: int = 256,
        num_workers: int = 0,
        chunk: int = 4096,
        name: str = 'samples',
        labels: bool = True,
    ) -> 'FeatureStore':
        """Open the features of a dataset, or extract what is missing of them.

        They lie in a subfolder of ``root`` named after what they depend on:
        the network with its weights and settings, the preprocessor, the list
        of the dataset, the transforms, names, type and ``identity``. Where any
        of it differs, another subfolder is made and the old one stays unread.

        Call it on all ranks, which see the same folder. The images are divided
        into chunks of ``chunk``, which are dealt to the ranks; a chunk counts
        when it is completely on the disk. An interrupted extraction goes on
        with the chunks that are missing, on any number of ranks. If a batch
        does not fit the memory of the GPU, it passes in smaller ones, and the
        log says so.

        Args:
            root: Folder of such folders.
            model: Has MMEngine's ``data_preprocessor``.
            dataset: Of MMEngine, with a deterministic single-view pipeline.
            features: Names of :func:`mmssl_prior.models.trunk_features`.
            backbone: Part of the model; the one that it evaluates by default.
            forward: From preprocessed images to features (B, D) by name, in
                place of the names' meaning; then all of the model counts as
                the network.
            identity: What else the features depend on.
            dtype: 'float16' or 'float32', of the files.
            batch_size: Images that pass together.
            num_workers: Processes that load images, on each rank.
            chunk: Images of a chunk.
            name: What the log calls the dataset.
            labels: Whether they are stored. Without, features depend on the
                images alone, and are found again by a dataset that labels the
                same ones otherwise.

        Raises:
            UserError: If the folder cannot be written or is too small, is in
                use, a feature does not exist or is not finite in ``dtype``,
                only some images are labelled, or none can be decoded. On all
                ranks.
        """
        if dtype not in DTYPES:
            raise UserError(f'dtype of stored features must be one of {DTYPES}, got {dtype!r}')
        if min(batch_size, chunk) < 1 or not features or not len(dataset):
            raise UserError(f'{name}: needs images, features, batch_size >= 1 and chunk >= 1')
        if forward is None:
            preprocessor: Any = model.data_preprocessor
            trunk: Any = backbone or getattr(model, evaluated_backbone(model))
            network = module_digest(trunk) + module_digest(preprocessor)
            forward = _Trunk(trunk, features)
        else:
            network = module_digest(model)
        manifest = dict(
            version=VERSION,
            network=network,
            dataset=dataset_digest(dataset) if labels else images_digest(dataset),
            pipeline=pipeline_text(dataset),
            features=list(features),
            identity=list(identity),
            dtype=dtype,
            images=len(dataset),
        )
        key = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
        folder = Path(root).expanduser() / key
        opened = _on_first_rank(lambda: complete(folder, manifest))
        if opened is not None:
            return cls(folder, opened)
        rows = ChunkRows(model, dataset, forward, batch_size, num_workers, name, labels)
        with _locked(folder):
            plan = _on_first_rank(lambda: prepare(folder, manifest, rows, chunk))
            _on_all_ranks(lambda: extract(folder, plan, rows))
            return cls(folder, _on_first_rank(lambda: finish(folder, plan, name)))

    def features(self, feature: str) -> Features:
        """One feature of all decodable images, with labels and positions in the dataset.

        The array is memory-mapped, in the type of the file; only where images
        could not be decoded the other rows are copied to main memory.

        Raises:
            UserError: If the store does not hold the feature.
        """
        if feature not in self.manifest['widths']:
            raise UserError(
                f'{printable(self.folder)} holds {", ".join(self.manifest["widths"])}, not '
                f'{feature!r}'
            )
        # Copy on write: a tensor must be writable, the file must not.
        rows = torch.from_numpy(np.load(self.folder / f'{feature}.npy', mmap_mode='c'))
        labels = torch.from_numpy(np.load(self.folder / f'{LABELS}.npy'))
        index = torch.arange(len(rows))
        skipped = [position for position, _ in self.manifest['skipped']]
        if skipped:
            index = index[~torch.isin(index, torch.tensor(skipped))]
            rows, labels = rows[index], labels[index]
        return Features(rows, labels if self.manifest['labelled'] else None, index)

    def all(self) -> dict[str, Features]:
        """Every feature by name."""
        return {feature: self.features(feature) for feature in self.manifest['widths']}


class _Trunk:
    """The named features of a backbone."""

    def __init__(self, backbone: nn.Module, names: Sequence[str]) -> None:
        self.backbone, self.names = backbone, list(names)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        return trunk_features(self.backbone, images, self.names)


def _on_all_ranks(work: Callable[[], Any]) -> Any:
    """Result of this rank's work; an error of one rank is raised on all."""
    result, error = None, None
    try:
        result = work()
    except UserError as mistake:
        error = str(mistake)
    except OSError as mistake:
        error = f'stored features: {mistake}; choose another folder, or make room there'
    for message in filter(None, dist.all_gather_object(error)):
        raise UserError(message)
    return result


def _on_first_rank(work: Callable[[], Any]) -> Any:
    """Result of the first rank's work, on all ranks."""
    result = _on_all_ranks(lambda: work() if dist.get_rank() == 0 else None)
    return dist.all_gather_object(result)[0]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The first rank alone writes manifests here; another job that would, is told so."""

    def lock() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if dist.get_rank() == 0:
            file = files.enter_context(open(folder / 'lock', 'w'))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f'{printable(folder)}: another process extracts these features; wait for it'
                ) from None

    with ExitStack() as files:
        _on_all_ranks(lock)
        yield
