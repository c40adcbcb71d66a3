"""A checkpoint with its prototypes: the same predictions as the model that was saved."""

import pytest
import torch
from mmengine.registry import init_default_scope

from mmssl_prior.errors import UserError
from mmssl_prior.evaluation.encoder_source import read_source
from mmssl_prior.evaluation.features import single_view
from mmssl_prior.insight import PixelEncoder
from mmssl_prior.insight.analyzed_model import open_model
from mmssl_prior.study.sorted_matching import SortedPMSNHead
from tests.evaluation.checkpoints import MSN, save_checkpoint
from tests.models.test_joint_embedding import SIMCLR, SWAV


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@pytest.fixture(scope='module')
def images():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('model_cfg', [MSN, SWAV], ids=['msn', 'swav'])
def test_predictions_are_those_of_the_saved_model(tmp_path, images, model_cfg):
    saved = save_checkpoint(tmp_path / 'run' / 'epoch_2.pth', model_cfg, seed=5)
    opened = open_model(read_source(str(tmp_path / 'run' / 'epoch_2.pth')), 32)
    outputs = opened(images)
    with torch.no_grad():
        torch.testing.assert_close(outputs['log_probs'], saved.assign(images))
        torch.testing.assert_close(outputs['feature'], saved.extract_feat(images))
    torch.testing.assert_close(
        opened.log_prior(None).float(), saved.head.log_prior, check_dtype=False
    )
    assert not any(parameter.requires_grad for parameter in opened.parameters())
    assert opened.summary()['method'] == type(saved).__name__


def test_a_prior_that_is_sorted_comes_in_the_order_of_usage(tmp_path):
    path = tmp_path / 'run' / 'epoch_2.pth'
    cfg = dict(MSN, head=dict(MSN['head'], type=SortedPMSNHead.__name__))
    saved = save_checkpoint(path, cfg)
    content = torch.load(path)
    content['state_dict']['head.usage'] = torch.arange(5.0)
    torch.save(content, path)
    opened = open_model(read_source(str(path)), 32)
    expected = saved.head.log_prior.flip(0)
    torch.testing.assert_close(opened.log_prior(None).float(), expected, check_dtype=False)


def test_a_method_without_prototypes_gives_features_alone(tmp_path, images):
    save_checkpoint(tmp_path / 'run' / 'epoch_2.pth', SIMCLR)
    opened = open_model(read_source(str(tmp_path / 'run' / 'epoch_2.pth')), 32)
    assert not opened.has_prototypes and list(opened(images)) == ['feature'] == opened.outputs


@pytest.mark.parametrize('kind', ['checkpoint', 'pixels'])
def test_images_go_where_the_model_goes(tmp_path, kind):
    """On the meta device, which every machine has, as on a GPU."""
    save_checkpoint(tmp_path / 'run' / 'epoch_2.pth')
    opened = open_model(read_source(str(tmp_path / 'run' / 'epoch_2.pth')), 32)
    model = (opened if kind == 'checkpoint' else PixelEncoder(size=32)).to('meta')
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    inputs = model.data_preprocessor(dict(inputs=images, data_samples=None), False)['inputs']
    outputs = model(single_view(inputs, 'images'))
    features = outputs['feature'] if kind == 'checkpoint' else outputs
    assert features.device.type == 'meta' and len(features) == 2


def test_prototypes_must_be_in_the_file(tmp_path):
    path = tmp_path / 'run' / 'epoch_2.pth'
    save_checkpoint(path)
    content = torch.load(path, weights_only=False)
    del content['state_dict']['head.prototypes']
    torch.save(content, path)
    with pytest.raises(UserError, match=r'missing in it.*head\.prototypes'):
        open_model(read_source(str(path)))
