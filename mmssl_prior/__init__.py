"""Self-supervised pretraining with prior-matched prototypes, as an OpenMMLab plugin.

Importing the package registers its classes into MMPretrain's registries, so
that a config needs one line::

    custom_imports = dict(imports=['mmssl_prior'], allow_failed_imports=False)
"""

from mmssl_prior._compat import check_stack, import_yapf
from mmssl_prior._quiet import quiet_import
from mmssl_prior.version import __version__

# Before MMEngine imports it.
import_yapf()
with quiet_import():
    # Before the rooms: their imports would fail with a traceback where this names the remedy.
    check_stack()
    from mmengine.config.utils import MODULE2PACKAGE

    from mmssl_prior import conversion, datasets, engine, evaluation, functional, insight, models

# MMEngine asks a table of its own where the bases of `_base_ = 'mmssl_prior::...'` are.
MODULE2PACKAGE.setdefault('mmssl_prior', 'mmssl_prior')

__all__ = [
    '__version__',
    'conversion',
    'datasets',
    'engine',
    'evaluation',
    'functional',
    'insight',
    'models',
]
