"""Folders as they are found: every kind of image file, and files that go away, for each backend."""

import errno
import os

import numpy as np
import pytest
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image
from torch import nn

from mmssl_prior.datasets import EpochIndex, ImageFolder
from mmssl_prior.engine import UndecodableImagesHook
from mmssl_prior.errors import UserError

BACKENDS = ['pillow', 'opencv', 'device']
LONG = 'ä甲' * 50 + '.jpg'  # 254 bytes, of the 255 that Linux allows
TURNED = {274: 6}


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def picture(seed=0):
    """Smooth, so that a crop of it looks like the image."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC)


def sixteen_bits(path):
    values = np.asarray(picture().convert('L')).astype(np.uint16) * 257
    Image.fromarray(values).save(path)


def animated(path):
    picture().save(path, save_all=True, append_images=[picture(1)])


def turned(path):
    exif = Image.Exif()
    exif.update(TURNED)
    picture().save(path, exif=exif)


def cut(path):
    picture().save(path)
    os.truncate(path, os.path.getsize(path) // 2)


SOUND = {
    'rgb.jpg': lambda path: picture().save(path),
    'cmyk.jpg': lambda path: picture().convert('CMYK').save(path),
    'grey.jpg': lambda path: picture().convert('L').save(path),
    'palette.png': lambda path: picture().quantize(64).save(path),
    'alpha.png': lambda path: picture().convert('RGBA').save(path),
    'sixteen.png': sixteen_bits,
    'animated.gif': animated,
    'turned.jpg': turned,
    LONG: lambda path: picture().save(path),
}
BROKEN = {
    'cut.jpg': (cut, 'runcated'),
    'cut.png': (cut, ''),
    'text.jpg': (lambda path: path.write_bytes(b'<html>Not found</html>'), 'not an image'),
    'folder.jpg': (lambda path: path.mkdir(), 'Is a directory'),
    'gone.jpg': (lambda path: None, 'No such file'),
    'empty.jpg': (lambda path: path.write_bytes(b''), 'the file is empty'),
    'x' * 256 + '.jpg': (lambda path: None, 'File name too long'),
}


def pipeline(backend, **crop):
    views = [[dict(type='SeededRandomResizedCrop', scale=16, **crop)]]
    return [
        dict(type='LoadImage', defer=backend != 'pillow'),
        dict(type='SeededMultiView', transforms=views, num_views=[2], backend=backend),
        dict(type='PackInputs'),
    ]


class Mean(BaseModel):
    def __init__(self):
        super().__init__(dict(type='MultiViewDataPreprocessor', to_rgb=True))
        self.weight = nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        values = sum(view.mean() / 255 for view in inputs)
        return dict(loss=self.weight(values.view(1, 1)).square().mean())


def views(data, indices):
    """The dataset's samples and their views, as the model gets them."""
    loader = dict(
        dataset=data,
        sampler=dict(type='EpochSampler', shuffle=False),
        batch_size=1,
        collate_fn=dict(type='default_collate'),
        num_workers=0,
    )
    batches = list(Runner.build_dataloader(loader, seed=0))
    model = Mean()
    return {
        name: (
            batches[i]['data_samples'][0],
            [view[0].numpy() for view in model.data_preprocessor(batches[i])['inputs']],
        )
        for i, name in enumerate(indices)
    }


@pytest.fixture(scope='module')
def sound(tmp_path_factory):
    root = tmp_path_factory.mktemp('sound')
    for name, make in SOUND.items():
        make(root / name)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = ImageFolder(str(root), pipeline=pipeline('pillow', crop_ratio_range=(1.0, 1.0)))
        return root, views(data, sorted(SOUND))


@pytest.mark.parametrize('backend', BACKENDS)
def test_every_kind_of_image(sound, backend):
    root, expected = sound
    data = ImageFolder(str(root), pipeline=pipeline(backend, crop_ratio_range=(1.0, 1.0)))
    for name, (sample, made) in views(data, sorted(SOUND)).items():
        assert 'undecodable' not in sample and sample.img_path == str(root / name)
        for ours, theirs in zip(made, expected[name][1]):
            assert abs(ours - theirs).mean() < 3, name


@pytest.mark.parametrize('backend', BACKENDS)
def test_every_kind_of_failure(tmp_path, backend):
    names = ['good.jpg', *BROKEN]
    picture().save(tmp_path / 'good.jpg')
    for name, (make, _) in BROKEN.items():
        make(tmp_path / name)
    data = ImageFolder(str(tmp_path), pipeline=pipeline(backend))
    # What a scan leaves out may come about behind it.
    data.data_list = [dict(img_path=str(tmp_path / name)) for name in names]
    data._fully_initialized, data.serialize_data = True, False
    data.max_attempts = 99
    for index, name in enumerate(names):
        sample = data[EpochIndex(index)]['data_samples']
        assert sample.img_path == str(tmp_path / 'good.jpg')
        noted = dict(sample.get('undecodable', ()))
        if name in BROKEN:
            assert BROKEN[name][1] in noted[str(tmp_path / name)]


@pytest.mark.parametrize('backend', BACKENDS)
def test_permission_denied(tmp_path, monkeypatch, backend):
    """Root may read anything, so the system's answer is simulated."""
    for name in ('a.jpg', 'locked.jpg'):
        picture().save(tmp_path / name)
    real = open

    def refuse(path, *args, **kwargs):
        if str(path).endswith('locked.jpg'):
            raise PermissionError(errno.EACCES, 'Permission denied', path)
        return real(path, *args, **kwargs)

    data = ImageFolder(str(tmp_path), pipeline=pipeline(backend))
    monkeypatch.setattr('builtins.open', refuse)
    sample = data[1]['data_samples']
    assert sample.undecodable == ((str(tmp_path / 'locked.jpg'), 'Permission denied'),)


class Delete(Hook):
    """Files that go away behind the second iteration."""

    def __init__(self, paths):
        self.paths = paths

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 1:
            for path in self.paths:
                os.remove(path)


def train_on_less(tmp_path, backend, limit):
    root = tmp_path / 'images'
    root.mkdir(exist_ok=True)
    paths = [root / f'{i}.jpg' for i in range(8)]
    for seed, path in enumerate(paths):
        picture(seed).save(path)
    runner = Runner(
        Mean(),
        str(tmp_path),
        train_dataloader=dict(
            dataset=dict(type='ImageFolder', data_root=str(root), pipeline=pipeline(backend)),
            sampler=dict(type='EpochSampler'),
            batch_size=2,
            collate_fn=dict(type='default_collate'),
            num_workers=0,
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3)),
        custom_hooks=[dict(type='UndecodableImagesHook', limit=limit)],
        default_scope='mmpretrain',
        log_level='ERROR',
        experiment_name=f'{tmp_path.name}_{limit}',
    )
    runner.register_hook(Delete(paths[2:5]))
    runner.train()
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, UndecodableImagesHook))
    return runner, hook, list(map(str, paths[2:5]))


@pytest.mark.parametrize('backend', BACKENDS)
def test_a_dataset_that_shrinks_during_training(tmp_path, backend):
    """The rest of it goes on, each file is named, and too many end it with one line."""
    runner, hook, gone = train_on_less(tmp_path, backend, 3)
    assert runner.iter == 8 and sorted(hook.files) == gone
    assert set(hook.files.values()) == {'No such file or directory'}
    with pytest.raises(
        UserError, match=r'3 images cannot be decoded, the limit is 2; restore them, or raise'
    ) as error:
        train_on_less(tmp_path, backend, 2)
    assert '\n' not in str(error.value) and all(path in str(error.value) for path in gone)
