from .linear_probe import LinearProbe
from .probe_heads import ProbeHead, ProbeHeads
from .trunk_features import has_tokens, trunk_features

__all__ = ['LinearProbe', 'ProbeHead', 'ProbeHeads', 'has_tokens', 'trunk_features']
