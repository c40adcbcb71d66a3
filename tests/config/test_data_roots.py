"""Data that is not there: the dataset's own line, before anything else is built."""

import pytest
from mmengine.config import Config
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from mmssl_prior.config import check_data_roots
from mmssl_prior.errors import UserError

BUILT = []


@DATASETS.register_module()
class Recorded(BaseDataset):
    """Says when it is read, and needs its annotation file."""

    def load_data_list(self):
        BUILT.append(self.ann_file)
        with open(self.ann_file) as file:
            return [dict(img_path=line) for line in file]


@DATASETS.register_module()
class Downloading(Recorded):
    def __init__(self, download=True, **kwargs):
        super().__init__(**kwargs)


@pytest.fixture(autouse=True)
def nothing_built():
    BUILT.clear()


def config(dataset, **options):
    return Config(
        dict(default_scope='mmpretrain', train_dataloader=dict(dataset=dataset), **options)
    )


def recorded(root, **kwargs):
    return dict(type='Recorded', data_root=str(root), ann_file='list.txt', **kwargs)


def test_nothing_is_built_where_nothing_is_missing(tmp_path):
    (tmp_path / 'list.txt').write_text('a.jpg\n')
    check_data_roots(config(recorded(tmp_path)))
    assert BUILT == []


@pytest.mark.parametrize('folder', ['gone', '.'])
def test_line_names_the_place_and_the_option(tmp_path, folder):
    """The folder is missing, or the annotation file in it."""
    root = tmp_path / folder
    message = (
        rf'train_dataloader\.dataset: .*list\.txt.*; its data_root is .*{folder}.*: '
        r'--cfg-options train_dataloader\.dataset\.data_root=PATH$'
    )
    with pytest.raises(UserError, match=message):
        check_data_roots(config(recorded(root)))


def test_error_of_the_dataset_is_kept(tmp_path):
    """A class that names the remedy itself."""
    dataset = dict(type='INaturalist2018', data_root=str(tmp_path / 'gone'), split='train')
    with pytest.raises(UserError, match=r'gone does not exist; download train_val2018\.tar\.gz'):
        check_data_roots(config(dataset))


def test_wrapped_and_validation_data(tmp_path):
    wrapped = dict(type='ConcatDataset', datasets=[recorded(tmp_path / 'gone')])
    with pytest.raises(UserError, match=r'^train_dataloader\.dataset\.datasets\.0: '):
        check_data_roots(config(wrapped))
    (tmp_path / 'list.txt').write_text('a.jpg\n')
    bank = dict(bank_dataloader=dict(dataset=recorded(tmp_path / 'gone')))
    cfg = config(recorded(tmp_path), val_cfg=bank)
    with pytest.raises(UserError, match=r'^val_cfg\.bank_dataloader\.dataset: '):
        check_data_roots(cfg)
    check_data_roots(cfg, ['train_dataloader'])


def test_dataset_that_can_do_without(tmp_path):
    """Only the class knows what it needs: a root that it does not read is no mistake."""
    check_data_roots(config(dict(type='DigitsLT', data_root=str(tmp_path / 'gone'), split='test')))


def test_dataset_that_downloads_is_left_to_the_runner(tmp_path):
    """There one rank downloads and the others wait."""
    dataset = dict(recorded(tmp_path / 'gone'), type='Downloading')
    check_data_roots(config(dataset))
    assert BUILT == []
    with pytest.raises(UserError, match='list.txt'):
        check_data_roots(config(dict(dataset, download=False)))


def test_data_on_a_server_is_not_looked_for():
    check_data_roots(config(recorded('s3://bucket/images')))
    assert BUILT == []
