from .linear_probe import LinearProbe
from .probe_heads import ProbeHead, ProbeHeads
from .trunk_features import trunk_features

__all__ = ['LinearProbe', 'ProbeHead', 'ProbeHeads', 'trunk_features']
