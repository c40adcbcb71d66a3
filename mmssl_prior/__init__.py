"""Self-supervised pretraining with prior-matched prototypes, as an OpenMMLab plugin.

Importing the package registers its classes into MMPretrain's registries, so
that a config needs one line::

    custom_imports = dict(imports=['mmssl_prior'], allow_failed_imports=False)
"""

import warnings

from mmssl_prior._compat import check_stack, import_yapf
from mmssl_prior.version import __version__

# Before MMEngine imports it.
import_yapf()
# Before the rooms: their imports would fail with a traceback where this names the remedy.
check_stack()

with warnings.catch_warnings():
    # mmcv warns of a compiled operator that nothing here uses.
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    from mmssl_prior import datasets, engine, evaluation, functional, models

__all__ = ['__version__', 'datasets', 'engine', 'evaluation', 'functional', 'models']
