"""A resume goes on from the newest checkpoint that is whole."""

import os
import shutil
import sys

import pytest
import torch

from mmssl_prior.config import is_whole, latest_checkpoint
from mmssl_prior.errors import UserError


@pytest.fixture
def warnings(monkeypatch):
    said = []
    module = sys.modules['mmssl_prior.config.latest_checkpoint']
    monkeypatch.setattr(module, 'print_log', lambda text, **_: said.append(text))
    return said


@pytest.fixture
def folder(tmp_path):
    for age, name in enumerate(['epoch_1.pth', 'iter_40.pth', 'iter_50.pth']):
        torch.save(dict(weights=torch.arange(1000) + age), tmp_path / name)
        os.utime(tmp_path / name, (age, age))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_50.pth'))
    return tmp_path


def test_the_one_that_is_named(folder, warnings, tmp_path_factory):
    assert latest_checkpoint(folder) == str(folder / 'iter_50.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_1.pth'))
    assert latest_checkpoint(folder) == str(folder / 'epoch_1.pth')
    # The work dir was moved.
    (folder / 'last_checkpoint').write_text('/elsewhere/iter_40.pth')
    assert latest_checkpoint(folder) == str(folder / 'iter_40.pth')
    # It was copied, and the original has gone on.
    copy = shutil.copytree(folder, tmp_path_factory.mktemp('copy') / 'run')
    (copy / 'last_checkpoint').write_text(str(folder / 'iter_50.pth'))
    assert latest_checkpoint(copy) == str(copy / 'iter_50.pth')
    # It is kept where MMEngine's backends look for it.
    (folder / 'last_checkpoint').write_text('s3://bucket/run/iter_50.pth')
    assert latest_checkpoint(folder) == 's3://bucket/run/iter_50.pth'
    assert not warnings


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == 'cut':
        content = content[: len(content) // 2]
    elif how == 'empty':
        content = bytearray()
    elif how == 'zeros':  # as a file system leaves them that lost power
        content = bytearray(len(content))
    elif how == 'name':  # of a part of it, which is no text then
        content[content.rindex(b'data.pkl')] ^= 0x80
    else:
        # In the middle of the values, where the format notices nothing but the checksum.
        place = content.index((2 + 300).to_bytes(8, 'little'))
        content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize('how', ['cut', 'empty', 'zeros', 'name', 'flipped'])
def test_damaged(folder, how, warnings):
    damage(folder / 'iter_50.pth', how)
    assert not is_whole(folder / 'iter_50.pth')
    assert latest_checkpoint(folder, warn=False) == str(folder / 'iter_40.pth')
    assert not warnings
    assert latest_checkpoint(folder) == str(folder / 'iter_40.pth')
    assert 'iter_50.pth is damaged; resuming from the one before' in warnings[0]


def test_a_format_without_checksums(tmp_path):
    torch.save({}, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    assert is_whole(tmp_path / 'old.pth')


def test_missing(folder, warnings):
    (folder / 'iter_50.pth').unlink()
    assert latest_checkpoint(folder) == str(folder / 'iter_40.pth')
    assert 'iter_50.pth is missing' in warnings[0]


def test_the_name_is_missing(folder):
    """Killed between the renaming and the note of it."""
    (folder / 'last_checkpoint').unlink()
    assert latest_checkpoint(folder) == str(folder / 'iter_50.pth')


def test_what_is_no_checkpoint_to_go_on_from(folder):
    (folder / 'last_checkpoint').unlink()
    for name in ('best_knn_top1_epoch_3.pth', '.writing-iter_60.pth'):
        torch.save({}, folder / name)
    assert latest_checkpoint(folder) == str(folder / 'iter_50.pth')


def test_none(tmp_path, folder):
    assert latest_checkpoint(tmp_path / 'new') is None
    for path in folder.glob('*.pth'):
        damage(path, 'cut')
    with pytest.raises(UserError, match=r'none of 3 checkpoints in .* is whole; start again'):
        latest_checkpoint(folder)
