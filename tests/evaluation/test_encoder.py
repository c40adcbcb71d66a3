"""Encoders of any checkpoint: the right network, all of its weights, features by hand."""

import pytest
import torch
from mmengine import Config
from mmengine.registry import init_default_scope

from mmssl_prior.config import load_config
from mmssl_prior.errors import UserError
from mmssl_prior.evaluation.encoder import build_encoder
from mmssl_prior.evaluation.encoder_source import literal_config, read_source
from mmssl_prior.evaluation.features import single_view
from mmssl_prior.evaluation.identity import module_digest
from tests.evaluation.checkpoints import (
    CLASSIFIER,
    MAE,
    MSN,
    PREPROCESSOR,
    RESNET,
    TINY_VIT,
    save_checkpoint,
)
from tests.smoke import CONFIGS, ROOT

DATA2VEC = dict(
    type='Data2Vec',
    data_preprocessor=dict(type='SelfSupDataPreprocessor', **PREPROCESSOR),
    backbone=dict(type='Data2VecViT', **TINY_VIT),
    head=dict(type='Data2VecHead', embed_dims=24),
    top_k=1,
)
LOOSE = dict(data_preprocessor=PREPROCESSOR)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@pytest.fixture(scope='module')
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 255


def normalised(images):
    """BGR in 0..255 to normalised RGB, by hand."""
    mean, std = (torch.tensor(PREPROCESSOR[key])[:, None, None] for key in ('mean', 'std'))
    return (images[:, [2, 1, 0]] - mean) / std


def of_msn(model, x):
    return model.target_backbone(x)[-1]


def of_classifier(model, x):
    return model.backbone(x)[-1]


def of_resnet(model, x):
    return model.backbone(x)[-1].flatten(2).mean(2)


def of_mae(model, x):
    return model.backbone(x, mask=None)[-1][:, 0]


def of_data2vec(model, x):
    return model.backbone(x)[-1].flatten(2).mean(2)


@pytest.mark.parametrize(
    ('model_cfg', 'others', 'by_hand', 'parts'),
    [
        (MSN, {}, of_msn, ['target_backbone']),
        (CLASSIFIER, LOOSE, of_classifier, ['backbone']),
        (RESNET, LOOSE, of_resnet, ['backbone']),
        (MAE, {}, of_mae, ['backbone']),
        (DATA2VEC, {}, of_data2vec, ['backbone']),
    ],
    ids=['msn', 'classifier', 'resnet', 'mae', 'data2vec'],
)
def test_features_are_those_of_the_evaluated_network(
    tmp_path, images, model_cfg, others, by_hand, parts
):
    model = save_checkpoint(tmp_path / 'run' / 'epoch_3.pth', model_cfg, **others)
    source = read_source(str(tmp_path / 'run' / 'epoch_3.pth'))
    assert (source.name, source.group, source.seed) == ('run/epoch_3', 'tiny (epoch 3)', 0)
    encoder = build_encoder(source)
    assert encoder.parts == parts and encoder.is_vit == (model_cfg is not RESNET)
    assert encoder.size == (224 if model_cfg is RESNET else 32)
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not any(module.training for module in encoder.modules())
    with torch.no_grad():
        data = encoder.data_preprocessor(dict(inputs=images, data_samples=None), False)
        torch.testing.assert_close(encoder(data['inputs']), by_hand(model, normalised(images)))


def test_the_same_network_each_time(tmp_path):
    """Also in what the checkpoint leaves open: stored features are recognised by all of it."""
    save_checkpoint(tmp_path / 'a.pth')
    first, second = (build_encoder(read_source(str(tmp_path / 'a.pth'))) for _ in range(2))
    assert module_digest(first) == module_digest(second)


def test_class_token_before_the_final_norm(tmp_path, images):
    model = save_checkpoint(tmp_path / 'a.pth')
    encoder = build_encoder(read_source(str(tmp_path / 'a.pth')), feature='cls_raw')
    seen = []
    model.target_backbone.ln1.register_forward_pre_hook(lambda _, args: seen.append(args[0][:, 0]))
    with torch.no_grad():
        model.target_backbone(images)
        torch.testing.assert_close(encoder(images), seen[0])


def test_a_backbone_that_hides_patches_is_not_read_raw(tmp_path):
    save_checkpoint(tmp_path / 'a.pth', MAE)
    with pytest.raises(UserError, match="MAEViT hides patches .* 'cls_raw' .* --protocol fast"):
        build_encoder(read_source(str(tmp_path / 'a.pth')), feature='cls_raw')


def test_models_of_timm(tmp_path):
    import timm

    images = torch.rand(1, 3, 160, 160)
    random = [build_encoder(read_source('timm:test_vit')) for _ in range(2)]
    assert random[0].size == 160 and random[0].is_vit
    with torch.no_grad():
        assert torch.equal(random[0](images), random[1](images))
    model = timm.create_model('test_vit').eval()
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    source = read_source(f'timm:test_vit={tmp_path / "weights.pth"}')
    assert source.name == 'test_vit/weights'
    with torch.no_grad():
        hand = model.forward_head(model.forward_features(images), pre_logits=True)
        torch.testing.assert_close(build_encoder(source)(images), hand)


@pytest.mark.parametrize('spec', ['msn', 'resnet', 'timm:test_vit'])
def test_images_go_where_the_encoder_goes(tmp_path, spec):
    """On the meta device, which every machine has, as on a GPU."""
    for name, cfg in (('msn', MSN), ('resnet', RESNET)):
        save_checkpoint(tmp_path / name / 'epoch_3.pth', cfg, data_preprocessor=PREPROCESSOR)
    path = spec if ':' in spec else str(tmp_path / spec / 'epoch_3.pth')
    encoder = build_encoder(read_source(path)).to('meta')
    images = torch.zeros(2, 3, encoder.size, encoder.size, dtype=torch.uint8)
    inputs = encoder.data_preprocessor(dict(inputs=images, data_samples=None), False)['inputs']
    assert encoder(single_view(inputs, 'images')).device.type == 'meta'


def test_a_size_that_an_encoder_does_not_take(tmp_path):
    name = 'vit_tiny_patch16_224'
    with pytest.raises(UserError, match=rf'^{name}: .* no images of 96 x 96 px \(.*--image-size'):
        build_encoder(read_source(f'timm:{name}'), 96)
    wrapped = dict(CLASSIFIER, backbone=dict(type='TIMMBackbone', model_name=name))
    save_checkpoint(tmp_path / 'run' / 'epoch_3.pth', wrapped)
    source = read_source(str(tmp_path / 'run' / 'epoch_3.pth'))
    with pytest.raises(UserError, match=r'epoch_3.pth: .* no images of 96 x 96 px'):
        build_encoder(source, 96)
    assert build_encoder(source, 224).size == 224


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ('timm:no_such_net', "has no model 'no_such_net'"),
        ('timm:test_vit=gone.pth', 'checkpoint gone.pth: no such file'),
        ('gone.pth', 'checkpoint gone.pth: no such file'),
    ],
)
def test_what_does_not_exist(spec, message):
    with pytest.raises(UserError, match=message):
        read_source(spec)


def test_a_file_that_timm_cannot_read(tmp_path):
    (tmp_path / 'x.pth').write_bytes(b'no weights')
    with pytest.raises(UserError, match='not readable as weights of timm'):
        build_encoder(read_source(f'timm:test_vit={tmp_path / "x.pth"}'))


def other_names(state):
    return {f'student.{key}': value for key, value in state.items()}


def one_missing(state):
    return {k: v for k, v in state.items() if k != 'target_backbone.cls_token'}


def another_width(state):
    return {k: torch.zeros(7) if k == 'target_backbone.ln1.weight' else v for k, v in state.items()}


def without_the_rest(state):
    return {k: v for k, v in state.items() if k.startswith('target_backbone.')}


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (other_names, r'no weight of target_backbone .* has student\..*cls_token \(1, 1, 24\) \(m'),
        (one_missing, r'1 weights .* target_backbone.cls_token \(1, 1, 24\) \(missing\)'),
        (another_width, r'target_backbone.ln1.weight \(24,\) \(\(7,\)\)'),
        (without_the_rest, None),
    ],
)
def test_every_weight_of_the_encoder_must_be_there(tmp_path, damage, message):
    path = tmp_path / 'a.pth'
    save_checkpoint(path)
    content = torch.load(path, weights_only=False)
    content['state_dict'] = damage(content['state_dict'])
    torch.save(content, path)
    if message is None:
        build_encoder(read_source(str(path)))
        return
    with pytest.raises(UserError, match=message):
        build_encoder(read_source(str(path)))


def test_a_checkpoint_without_config(tmp_path):
    path = tmp_path / 'a.pth'
    model = save_checkpoint(path)
    torch.save(model.state_dict(), path)
    with pytest.raises(UserError, match='holds no config .* --config FILE'):
        read_source(str(path))
    source = read_source(str(path), Config(dict(model=MSN)))
    assert source.group == tmp_path.name and build_encoder(source).parts == ['target_backbone']
    with pytest.raises(UserError, match='its config has no model'):
        build_encoder(read_source(str(path), Config(dict(a=1))))


@pytest.mark.parametrize('path', [p for p in CONFIGS if 'mini' in p])
def test_configs_are_read_back_as_they_were_saved(path):
    cfg = load_config(ROOT / path)
    assert (
        literal_config(cfg.pretty_text, 'x.pth')
        == Config.fromstring(cfg.pretty_text, '.py').to_dict()
    )


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ("a = __import__('os').getcwd()", 'the config it holds cannot be read'),
        ('a = (', 'the config it holds cannot be read'),
        ("a = -'x'", 'the config it holds cannot be read'),
        ('a = {[1]: 2}', 'the config it holds cannot be read'),
        (f'a = {20_000 * "-"}1', 'the config it holds cannot be read'),
        ("custom_imports = dict(imports=['no_such_module_'])", 'imports no_such_module_'),
        ("custom_imports = dict(imports='no_such_module_')", 'imports no_such_module_'),
        ('custom_imports = [1]', 'custom_imports of the config it holds names no modules'),
        ('custom_imports = dict(imports=[1])', 'custom_imports of the config it holds names no'),
    ],
    # The text of one is longer than the environment, where pytest puts the name, can hold.
    ids=map(str, range(9)),
)
def test_code_in_a_checkpoint_is_not_run(text, message):
    with pytest.raises(UserError, match=message):
        literal_config(text, 'x.pth')


def test_seeds_of_one_run_and_other_runs(tmp_path):
    def run_of(name, model=MSN, **others):
        path = tmp_path / name / 'epoch_3.pth'
        save_checkpoint(path, model, **others)
        return read_source(str(path)).run

    first = dict(randomness=dict(seed=0), work_dir='a', data=dict(class_seed=0, num_workers=4))
    second = dict(data=dict(num_workers=8, class_seed=1), work_dir='b', randomness=dict(seed=1))
    assert run_of('a', **first) == run_of('b', **second)
    # Gone on with from its own checkpoint, or started from another's.
    assert run_of('a', **first) == run_of('c', **first, resume=True, load_from='x')
    assert run_of('a', **first) != run_of('d', **first, load_from='x')
    # --cfg-options of the same config.
    changed = dict(MSN, head=dict(MSN['head'], num_prototypes=6))
    assert run_of('a', **first) != run_of('e', changed, **first)


def test_files_of_one_timm_model_are_no_seeds_of_each_other(tmp_path):
    sources = []
    for name in 'ab':
        torch.save(dict(name=torch.zeros(ord(name))), tmp_path / f'{name}.pth')
        sources.append(read_source(f'timm:test_vit={tmp_path / name}.pth'))
    assert sources[0].group == sources[1].group and sources[0].run != sources[1].run
