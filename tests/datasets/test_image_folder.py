"""Images below a folder, without labels: what is found, what is left out, what is said."""

import os

import numpy as np
import pytest
from mmpretrain.registry import DATASETS
from PIL import Image

from mmssl_prior.datasets import scan_folder, summarise_headers
from mmssl_prior.errors import UserError, printable

PIPELINE = [dict(type='LoadImage'), dict(type='PackInputs')]
NOT_UTF8 = os.fsdecode(b'caf\xe9.png')


def build(root, **kwargs):
    return DATASETS.build(
        dict(type='ImageFolder', data_root=str(root), pipeline=PIPELINE, **kwargs)
    )


def save(path, size=(8, 6), **kwargs):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.new('RGB', size, 'red').save(path, **kwargs)


def found(data):
    return [data.get_data_info(i)['img_path'] for i in range(len(data))]


def test_flat_and_nested_images_of_every_common_format(tmp_path):
    names = ['a.jpg', 'b.PNG', 'sub/c.bmp', 'sub/deeper/d.tif', 'e.JPEG', 'f.webp', 'g.tiff']
    names += ['h.gif', 'sub/i.ppm', 'J.JPG', 'Käfer 甲虫.png', NOT_UTF8]
    for name in names:
        save(os.path.join(tmp_path, name))
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'LIESMICH').write_text('no image')
    (tmp_path / 'other.TXT').write_text('no image')
    save(tmp_path / '.hidden.png')
    data = build(tmp_path)
    assert found(data) == sorted(os.path.join(tmp_path, name) for name in names)
    for i in range(len(data)):
        sample = data[i]
        assert sample['inputs'].shape == (3, 6, 8) and 'gt_label' not in sample['data_samples']
    assert data.scan.ignored == {'.txt': 2, 'without extension': 1}
    assert data.scan.skipped() == '2 .txt, 1 without extension'


def test_files_of_zero_bytes_are_left_out(tmp_path):
    save(tmp_path / 'good.png')
    (tmp_path / 'zero.png').write_bytes(b'')
    data = build(tmp_path)
    assert found(data) == [str(tmp_path / 'good.png')]
    assert data.scan.skipped() == f'1 of zero bytes ({tmp_path / "zero.png"})'


def test_a_broken_image_is_replaced(tmp_path):
    save(tmp_path / 'good.png')
    (tmp_path / 'bad.png').write_bytes(b'no image')
    data = build(tmp_path)
    assert len(data) == 2
    for i in range(2):
        assert data[i]['data_samples'].img_path.endswith('good.png')


def test_links_are_followed_once(tmp_path):
    save(tmp_path / 'inner' / 'a.png')
    (tmp_path / 'inner' / 'loop').symlink_to(tmp_path)
    (tmp_path / 'b.png').symlink_to(tmp_path / 'inner' / 'a.png')
    (tmp_path / 'dangling.png').symlink_to(tmp_path / 'nowhere')
    scan = scan_folder(str(tmp_path))
    assert scan.images == [str(tmp_path / 'b.png'), str(tmp_path / 'inner' / 'a.png')]
    assert scan.unreadable == [(str(tmp_path / 'dangling.png'), 'No such file or directory')]


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    """Root may read anything, so the system's answer is simulated."""
    save(tmp_path / 'a.png')
    save(tmp_path / 'locked' / 'b.png')
    listed = os.scandir

    def scandir(path):
        if str(path).endswith('locked'):
            raise PermissionError(13, 'Permission denied', path)
        return listed(path)

    monkeypatch.setattr('mmssl_prior.datasets.folder_scan.os.scandir', scandir)
    scan = scan_folder(str(tmp_path))
    assert scan.images == [str(tmp_path / 'a.png')]
    assert scan.skipped() == f'1 unreadable ({tmp_path / "locked"}: Permission denied)'


def test_a_missing_and_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match='nowhere is not a folder: set data_root .*DATA_ROOT='):
        build(tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match=r'no image below .*empty \(looked for .bmp.*\): set'):
        build(tmp_path / 'empty')
    (tmp_path / 'empty' / 'a.pdf').write_text('x')
    (tmp_path / 'empty' / 'b.png').write_text('')
    with pytest.raises(UserError, match=r'found 1 .pdf, 1 of zero bytes \(.*b.png\)'):
        build(tmp_path / 'empty')


def test_without_permission(tmp_path, monkeypatch):
    """The folder itself, or the list: said without the fourteen extensions."""
    save(tmp_path / 'a.png')
    (tmp_path / 'list.txt').write_text('a.png\n')

    def denied(*args):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr('mmssl_prior.datasets.folder_scan.os.scandir', denied)
    with pytest.raises(UserError, match=f'{tmp_path.name}/? cannot be read: Permission denied$'):
        build(tmp_path)
    monkeypatch.setattr('mmpretrain.datasets.custom.list_from_file', denied)
    with pytest.raises(UserError, match='ann_file .*list.txt cannot be read: Permission denied$'):
        build(tmp_path, ann_file='list.txt')


def test_a_list_of_paths(tmp_path):
    for name in ('a.png', 'sub/b.png', 'c.png'):
        save(tmp_path / name)
    (tmp_path / 'list.txt').write_text('sub/b.png\na.png\n')
    data = build(tmp_path, ann_file='list.txt')
    assert found(data) == [str(tmp_path / 'sub/b.png'), str(tmp_path / 'a.png')]
    (tmp_path / 'list.txt').write_text('a.png\na.png 0\nsub/b.png 1\n')
    with pytest.raises(
        UserError,
        match=r'2 of 3 paths in .*list.txt do not exist, the first is .*a.png 0: .*without labels$',
    ):
        build(tmp_path, ann_file='list.txt')
    with pytest.raises(UserError, match='ann_file .*gone.txt is not a file'):
        build(tmp_path, ann_file='gone.txt')
    (tmp_path / 'list.txt').write_bytes(b'caf\xe9.png\n')
    with pytest.raises(UserError, match='ann_file .*list.txt cannot be read: not UTF-8'):
        build(tmp_path, ann_file='list.txt')
    (tmp_path / 'list.txt').write_text('')
    with pytest.raises(UserError, match='names no image'):
        build(tmp_path, ann_file='list.txt')


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    save(tmp_path / 'images' / 'a.png')
    assert found(build('~/images')) == [str(tmp_path / 'images' / 'a.png')]


@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.tiff', 'a.webp'])
@pytest.mark.parametrize('orientation', [1, 3, 6])
def test_sizes_are_those_that_training_sees(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    save(tmp_path / name, exif=exif)
    summary = summarise_headers([str(tmp_path / name)])
    height, width = build(tmp_path)[0]['inputs'].shape[1:]
    assert summary.median == (width, height) == ((6, 8) if orientation == 6 else (8, 6))


def test_summary_of_headers(tmp_path):
    for i in range(9):
        save(tmp_path / f'{i}.png', (10 + i, 20))
    save(tmp_path / 'wide.jpg', (400, 30))
    (tmp_path / 'bad.png').write_bytes(b'no image')
    paths = sorted(map(str, tmp_path.iterdir()))
    summary = summarise_headers(paths)
    assert (summary.read, summary.formats) == (10, {'png': 9, 'jpeg': 1})
    assert (summary.smallest, summary.median, summary.largest) == ((10, 20), (14, 20), (400, 30))
    assert summary.unreadable == [(str(tmp_path / 'bad.png'), 'not an image of a known format')]
    state = np.random.get_state()[1].copy()
    some = summarise_headers(paths, seed=3, limit=4)
    assert some == summarise_headers(paths, seed=3, limit=4)
    assert some.read + len(some.unreadable) == 4
    assert any(summarise_headers(paths, seed, 4) != some for seed in range(5))
    assert np.array_equal(state, np.random.get_state()[1]), 'no global generator'
    nothing = summarise_headers([str(tmp_path / 'bad.png')])
    assert (nothing.read, nothing.median, len(nothing.unreadable)) == (0, (0, 0), 1)


def test_printable_names():
    assert printable('Käfer 甲虫.png') == 'Käfer 甲虫.png'
    assert printable(NOT_UTF8) == 'caf\\xe9.png'
    assert printable('two\nlines.png') == 'two\\nlines.png'
