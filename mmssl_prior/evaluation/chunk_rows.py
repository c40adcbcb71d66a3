"""Features of a dataset in its own order, chunk by chunk."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import DataLoader

from ..errors import UserError
from .features import evaluation_mode, labels_of, log_each_minute, single_view
from .images_in_order import ImagesInOrder, collated

__all__ = ['Chunk', 'ChunkRows', 'Forward']

Forward = Callable[[Tensor], Mapping[str, Tensor]]


class Chunk(NamedTuple):
    """Rows of a span of images, zeros where one cannot be decoded.

    Attributes:
        features: Arrays (n, D) by name.
        labels: Shape (n,).
        labelled: How many images have one.
        skipped: Positions in the dataset of undecodable images, and reasons.
    """

    features: dict[str, np.ndarray]
    labels: np.ndarray
    labelled: int
    skipped: list[tuple[int, str]]


class ChunkRows:
    """Images to features, in batches that the memory of the GPU holds.

    Args:
        model: Has MMEngine's ``data_preprocessor``; it is run in eval mode and
            without gradients.
        dataset: Of MMEngine, with a deterministic single-view pipeline.
        forward: From preprocessed images to features (B, D) by name.
        batch_size: Images that pass together; halved, with a line in the log,
            when CUDA runs out of memory.
        num_workers: Processes that load images.
        name: What the log calls the dataset.
        labels: Whether labels are read, too.

    Raises:
        UserError: If no image can be decoded, a single one does not fit the
            memory, or features are not finite, (B, D), or in the range of
            their type.
    """

    def __init__(
        self,
        model: Any,
        dataset: Any,
        forward: Forward,
        batch_size: int = 256,
        num_workers: int = 0,
        name: str = 'samples',
        labels: bool = True,
    ) -> None:
        self.model, self.forward, self.name, self.labels = model, forward, name, labels
        self.images = ImagesInOrder(dataset)
        self.batch_size, self.num_workers = batch_size, num_workers
        self.at_once = batch_size

    def widths(self) -> dict[str, int]:
        """Of the features, from the first image that can be decoded."""
        for index in range(len(self.images)):
            sample = self.images[index]
            if not isinstance(sample, str):
                features, _ = self._batch([sample])
                return {name: rows.shape[1] for name, rows in features.items()}
        raise UserError(f'{self.name}: none of {len(self.images)} images can be decoded')

    def chunks(
        self, spans: Sequence[range], widths: Mapping[str, int], dtype: str
    ) -> Iterator[Chunk]:
        """One chunk for each span of positions; workers load ahead over their borders.

        Args:
            spans: Of the dataset.
            widths: Of each feature.
            dtype: Of the rows.
        """
        size = self.batch_size
        batches = [list(span[i : i + size]) for span in spans for i in range(0, len(span), size)]
        # A dataloader draws its workers' base seed from the global generator.
        with torch.random.fork_rng(devices=[]):
            loader = DataLoader(
                self.images,
                batch_sampler=batches,
                num_workers=self.num_workers,
                collate_fn=list,
            )
            loaded = iter(log_each_minute(loader, self.name))
            for span in spans:
                count = -(-len(span) // size)
                yield self._chunk(span, (next(loaded) for _ in range(count)), widths, dtype)

    def _chunk(
        self, span: range, batches: Iterator[list], widths: Mapping[str, int], dtype: str
    ) -> Chunk:
        features = {name: np.zeros((len(span), width), dtype) for name, width in widths.items()}
        labels, labelled, skipped, start = np.zeros(len(span), np.int64), 0, [], 0
        for samples in batches:
            good = []
            for place, sample in enumerate(samples, start):
                if isinstance(sample, str):
                    skipped.append((span[place], sample))
                else:
                    good.append(place)
            if good:
                rows, known = self._batch([samples[place - start] for place in good])
                for name, values in rows.items():
                    features[name][good] = self._cast(values, name, dtype)
                if known:
                    labels[good] = known
                    labelled += len(known)
            start += len(samples)
        return Chunk(features, labels, labelled, skipped)

    @torch.no_grad()
    def _batch(self, samples: list) -> tuple[dict[str, Tensor], list[int]]:
        """Features in main memory, and labels, of which there may be none."""
        with evaluation_mode(self.model):
            data = self.model.data_preprocessor(collated(samples), False)
            images = single_view(data['inputs'], self.name)
            parts: list[dict[str, Tensor]] = []
            done = 0
            while done < len(images):
                part = self._forward(images[done : done + self.at_once])
                if part is not None:
                    parts.append(part)
                    done += len(next(iter(part.values())))
        rows = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return rows, labels_of(data['data_samples'] or [], self.name) if self.labels else []

    def _forward(self, images: Tensor) -> dict[str, Tensor] | None:
        """Features of these images, or None after a note to take fewer at once."""
        try:
            features = {name: out.float().cpu() for name, out in self.forward(images).items()}
        except torch.OutOfMemoryError as error:
            if len(images) == 1:
                raise UserError(
                    f'{self.name}: CUDA is out of memory with a single image: free the GPU of '
                    'other processes, or run on the CPU'
                ) from error
            # No torch call here: the error's traceback holds the tensors.
            self.at_once = -(-len(images) // 2)
        else:
            for name, rows in features.items():
                if rows.ndim != 2 or len(rows) != len(images):
                    raise UserError(
                        f'{self.name}: feature {name!r} of {len(images)} images has shape '
                        f'{tuple(rows.shape)}, expected one row for each'
                    )
            return features
        torch.cuda.empty_cache()
        print_log(
            f'{self.name}: CUDA is out of memory; from here on {self.at_once} images pass the '
            f'network at once, not {len(images)}',
            logger='current',
            level=logging.WARNING,
        )
        return None

    def _cast(self, rows: Tensor, name: str, dtype: str) -> np.ndarray:
        if not torch.isfinite(rows).all():
            raise UserError(
                f'{self.name}: feature {name!r} is not finite: the model has diverged, or was not '
                'loaded'
            )
        values = rows.to(getattr(torch, dtype))
        if not torch.isfinite(values).all():
            raise UserError(
                f'{self.name}: feature {name!r} reaches {rows.abs().max():.3g}, beyond {dtype}: '
                "store it with dtype='float32'"
            )
        return values.numpy()
