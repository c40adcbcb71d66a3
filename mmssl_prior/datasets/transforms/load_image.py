"""Images from disk."""

from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from .decoding import UndecodableImage, decode, decoding, decoding_reason, to_rgb
from .encoded_image import EncodedImage

__all__ = ['LoadImage', 'UndecodableImage', 'decoding_reason', 'to_rgb']


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read ``img_path`` into a uint8 BGR array, upright.

    The EXIF orientation is applied and every mode becomes RGB (see
    :func:`to_rgb`) before the channels are put in mmcv's order.

    Args:
        defer (bool): Leave an :class:`EncodedImage`, so that
            :class:`SeededMultiView`, which has to be the next step, decodes
            as much as its crops need. Defaults to False.

    Raises:
        UndecodableImage: If the file is missing, truncated, empty, not an
            image, or of a mode that has no defined colours.
    """

    def __init__(self, defer=False):
        self.defer = defer

    def transform(self, results):
        """Add ``img``, ``img_shape`` and ``ori_shape``."""
        path = results['img_path']
        with decoding(path):
            image = EncodedImage(path) if self.defer else decode(path)
        shape = image.shape[:2]
        return {**results, 'img': image, 'img_shape': shape, 'ori_shape': shape}

    def __repr__(self):
        return f'{type(self).__name__}(defer={self.defer})'
