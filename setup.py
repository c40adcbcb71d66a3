"""Installs the plugin; the OpenMMLab packages come with an extra, never by themselves.

Installing a plugin must not replace the mmengine, mmcv and mmpretrain that a
user has, so none of them is in ``install_requires``; importing the package
checks for them and names the command to run.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


def version() -> str:
    text = (ROOT / 'mmssl_prior' / 'version.py').read_text(encoding='utf-8')
    match = re.search(r"__version__ = '([^']+)'", text)
    assert match is not None
    return match.group(1)


class BuildWithMim(build_py):
    """Copies configs, tools and the model index into ``mmssl_prior/.mim`` of the build.

    MIM looks for them there, and MMEngine for the bases of ``mmssl_prior::``.

    Only into the build folder: the source tree stays as it is.
    """

    shared = ('configs', 'tools', 'model-index.yml')

    def _mim_files(self) -> list[tuple[Path, Path]]:
        target = Path(self.build_lib) / 'mmssl_prior' / '.mim'
        pairs = []
        for name in self.shared:
            source = ROOT / name
            for file in [source, *sorted(source.rglob('*'))]:
                if file.is_file() and '__pycache__' not in file.parts:
                    pairs.append((file, target / file.relative_to(ROOT)))
        return pairs

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        # A file deleted since an earlier build in the same folder must not be packed.
        shutil.rmtree(Path(self.build_lib) / 'mmssl_prior' / '.mim', ignore_errors=True)
        for source, target in self._mim_files():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs = super().get_outputs(include_bytecode)
        if not self.editable_mode:
            outputs += [str(target) for _, target in self._mim_files()]
        return outputs


readme = ROOT / 'README.md'

setup(
    name='mmssl-prior',
    version=version(),
    description='Prior-matched self-supervised learning (PMSN, MSN) for MMPretrain',
    long_description=readme.read_text(encoding='utf-8') if readme.exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmssl_prior', 'mmssl_prior.*']),
    package_data={
        'mmssl_prior': [
            'py.typed',
            'datasets/splits/*.txt',
            'insight/report/*.html',
            'insight/report/*.css',
            'insight/report/*.js',
        ]
    },
    include_package_data=True,
    cmdclass={'build_py': BuildWithMim},
    python_requires='>=3.10',
    install_requires=[
        # The first with a fused AdamW on CPU.
        'torch>=2.4',
        'torchvision>=0.19',
        'timm>=0.9.8',
        'safetensors',
        'numpy',
        'packaging',
        # The first with HDBSCAN.
        'scikit-learn>=1.3',
        'scipy',
        'threadpoolctl',
        'matplotlib>=3.6',
        'pillow',
        'rich',
    ],
    extras_require={
        'onedl': [
            'onedl-mmengine>=0.10.12',
            'onedl-mmcv>=2.3.6',
            'onedl-mmpretrain>=1.3.6',
        ],
        # Upstream's newest, and the newest of the others that work with them; .venv-openmmlab.
        'openmmlab': [
            'mmengine==0.10.7',
            'mmcv-lite==2.2.0',
            'mmpretrain==1.2.0',
            # Later ones load checkpoints with weights_only=True, and mmengine cannot resume.
            'torch<2.6',
            'torchvision<0.21',
            # mmcv's hue jitter makes bytes of negative numbers, an error since NumPy 2.
            'numpy<2',
            # The last that accepts NumPy 1.
            'opencv-python<4.12',
            # mmengine reads `_base_ = 'mmpretrain::...'` with pkg_resources, which went with 82.
            'setuptools<82',
        ],
        # Another layout in tools/analyze.py; t-SNE comes with scikit-learn.
        'insight': ['umap-learn>=0.5'],
        # tools/convert.py to Hugging Face and ONNX; the comparison with what was written.
        'convert': ['transformers>=4.40', 'onnx>=1.16', 'onnxscript>=0.1', 'onnxruntime>=1.17'],
        'test': [
            'pytest>=8',
            'pytest-xdist>=3.5',
            # Draws the numbers of tests/test_fuzzed_configs.py.
            'hypothesis>=6.100',
            'ruff>=0.6',
            'mypy>=1.11',
            'tensorboard',
            # Converted encoders are compared in the libraries that they are for.
            'transformers>=4.40',
            'onnx>=1.16',
            'onnxscript>=0.1',
            'onnxruntime>=1.17',
            # A virtual environment of Python 3.12 has no setuptools; the wheel test builds with it.
            'setuptools>=77',
        ],
    },
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    zip_safe=False,
)
