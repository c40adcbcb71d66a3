"""The scripts of ``tools/`` as modules: ``python -m mmssl_prior.tools.train CONFIG``.

A wheel carries them in ``mmssl_prior/.mim/tools``, a checkout beside the
package; either folder is this package's own path.
"""

from mmssl_prior.config.packaged import package_root

__path__ = [str(package_root() / 'tools')]
