from collections.abc import Mapping, Sequence

import torch
from mmpretrain.models import SelfSupDataPreprocessor
from mmpretrain.registry import MODELS
from torch import Tensor

from ...errors import UserError
from ...functional import make_views

__all__ = ['MultiViewDataPreprocessor']

DTYPES = {
    'float32': torch.float32,
    'float16': torch.float16,
    'bfloat16': torch.bfloat16,
}


@MODELS.register_module()
class MultiViewDataPreprocessor(SelfSupDataPreprocessor):
    r"""MMPretrain's ``SelfSupDataPreprocessor`` that can also make the views.

    Images and lists of views are normalised as there. A batch whose views
    ``SeededMultiView(backend='device')`` left to be made comes as a dict of
    whole images and parameters (:func:`collate_sources`): its views are made
    here, on the device, all images at once: antialiased crop and mirroring as
    two matrix products, colour jitter with factors and order of each image's
    own, grayscale, blur, solarisation, normalisation. Between the steps values
    are rounded as those of uint8 images are. See :func:`make_views`.

    Nothing is drawn here and nothing waits for the device. The data samples
    of such a batch stay where they are: what is trained on views reads none.

    Args:
        mean: Of RGB, or of the images' own channels without a conversion.
        std: Likewise.
        to_rgb: Whether to turn BGR into RGB. Views made here are RGB.
        non_blocking: Whether copies to the device go on behind the host's
            back; needs ``pin_memory=True`` in the data loader to have an
            effect. Defaults to True.
        resample_dtype: ``'float16'`` (whole values up to 255 are exact),
            ``'bfloat16'`` or ``'float32'``: of the products that resample and
            blur, on an accelerator. A CPU takes float32.
        chunk_size: Images whose views are made at a time; bounds the memory.
        **kwargs: Of ``SelfSupDataPreprocessor``.

    Raises:
        UserError: If the dtype is unknown, the chunk size not positive, or
            views are to be made without conversion to RGB.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        to_rgb: bool = False,
        non_blocking: bool = True,
        resample_dtype: str = 'float16',
        chunk_size: int = 32,
        **kwargs,
    ) -> None:
        super().__init__(mean=mean, std=std, to_rgb=to_rgb, non_blocking=non_blocking, **kwargs)
        if resample_dtype not in DTYPES:
            raise UserError(f'resample_dtype must be one of {list(DTYPES)}, got {resample_dtype!r}')
        if not (isinstance(chunk_size, int) and chunk_size > 0):
            raise UserError(f'chunk_size must be a positive integer, got {chunk_size}')
        self.resample_dtype = resample_dtype
        self.chunk_size = chunk_size

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalise the images, or make and normalise the views."""
        if not (isinstance(data, Mapping) and isinstance(data.get('inputs'), Mapping)):
            return super().forward(data, training)
        if not self._channel_conversion:
            raise UserError(
                'views made on the device are RGB: set to_rgb=True in data_preprocessor, with mean '
                'and std of RGB'
            )
        source = self.cast_data(data['inputs'])
        return {
            'inputs': self._views(source['images'], source['parameters'], source['recipes']),
            'data_samples': data.get('data_samples'),
        }

    @torch.no_grad()
    def _views(self, images: Tensor, parameters: Sequence[Tensor], recipes) -> list[Tensor]:
        on_cpu = images.device.type == 'cpu'
        # Autocast would take the products of the weights, too, to its own type.
        with torch.autocast(images.device.type, enabled=False):
            return make_views(
                images,
                parameters,
                recipes,
                mean=self.mean if self._enable_normalize else None,
                std=self.std if self._enable_normalize else None,
                channels_reversed=True,
                dtype=torch.float32 if on_cpu else DTYPES[self.resample_dtype],
                chunk_size=self.chunk_size,
            )
