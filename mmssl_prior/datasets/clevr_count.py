"""Clevr/Count: how many objects a scene holds."""

from mmpretrain.registry import DATASETS

from .clevr_scenes import ClevrScenes

__all__ = ['ClevrCount']

FEWEST, MOST = 3, 10


@DATASETS.register_module()
class ClevrCount(ClevrScenes):
    """Clevr/Count: the number of objects in a CLEVR scene, 3 to 10, as eight classes.

    Label 0 means three objects. Files and arguments are those of
    :class:`ClevrScenes`.

    References:
        Zhai et al., A Large-scale Study of Representation Learning with the
        Visual Task Adaptation Benchmark, 2019.
    """

    task = 'Clevr/Count'
    METAINFO = dict(classes=tuple(map(str, range(FEWEST, MOST + 1))))

    def label(self, depths):
        """Number of objects, counted from three."""
        if not FEWEST <= len(depths) <= MOST:
            raise ValueError(f'{len(depths)} objects, expected {FEWEST} to {MOST}')
        return len(depths) - FEWEST
