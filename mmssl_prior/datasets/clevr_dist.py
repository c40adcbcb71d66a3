"""Clevr/Dist: how far away the nearest object of a scene is."""

from bisect import bisect_left

from mmpretrain.registry import DATASETS

from .clevr_scenes import ClevrScenes

__all__ = ['ClevrDist']

EDGES = (8.0, 8.5, 9.0, 9.5, 10.0, 100.0)


@DATASETS.register_module()
class ClevrDist(ClevrScenes):
    r"""Clevr/Dist: the depth of the object that is nearest to the camera, as six classes.

    .. math::
        d = \min_o z_o, \qquad
        (-\infty, 8],\ (8, 8.5],\ (8.5, 9],\ (9, 9.5],\ (9.5, 10],\ (10, 100]

    with z the third pixel coordinate of an object. Files and arguments are
    those of :class:`ClevrScenes`.

    References:
        Zhai et al., A Large-scale Study of Representation Learning with the
        Visual Task Adaptation Benchmark, 2019.
    """

    task = 'Clevr/Dist'
    METAINFO = dict(classes=('<=8', '8-8.5', '8.5-9', '9-9.5', '9.5-10', '>10'))

    def label(self, depths):
        """Bin of the smallest depth; an edge belongs to the bin below it."""
        if not depths:
            raise ValueError('no objects, so there is no nearest one')
        if min(depths) > EDGES[-1]:
            raise ValueError(f'nearest object at {min(depths):g}, expected at most {EDGES[-1]:g}')
        return bisect_left(EDGES, min(depths))
