"""The linear probe: heads by hand, a frozen trunk, steps by hand recursion, through the Runner."""

import copy

import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import METRICS, MODELS
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn import functional as F

from mmssl_prior.engine.optimizers import LinearProbeOptimWrapperConstructor
from mmssl_prior.errors import UserError
from mmssl_prior.models import ProbeHead, ProbeHeads
from tests.evaluation.toy import NUM_CLASSES, ToyImages

RESNET = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4)
VIT = dict(
    type='VisionTransformer',
    arch=dict(embed_dims=24, num_layers=4, num_heads=2, feedforward_channels=48),
    img_size=4,
    patch_size=2,
    drop_rate=0.5,
    drop_path_rate=0.5,
)
VIT_HEADS = [
    dict(feature='cls4', in_channels=96, norm='bn'),
    dict(feature='cls', in_channels=24),
    dict(feature='cls_raw', in_channels=24, norm='ln_l2'),
]
AVG = dict(feature='avg', in_channels=32)


def probe(backbone=RESNET, heads=(AVG,), num_classes=NUM_CLASSES, **kwargs):
    torch.manual_seed(0)
    cfg = dict(type='LinearProbe', backbone=backbone, heads=list(heads), num_classes=num_classes)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(cfg, **kwargs))
    model.init_weights()
    return model


def samples(labels):
    return [DataSample().set_gt_label(label) for label in labels]


def test_heads_by_hand():
    x = torch.randn(6, 8, dtype=torch.float64)
    head = ProbeHead(8, 3, norm='bn').double()
    with torch.no_grad():
        head.norm.weight.uniform_(), head.norm.bias.normal_()
    z = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
    z = z * head.norm.weight + head.norm.bias
    torch.testing.assert_close(head(x), z @ head.linear.weight.T + head.linear.bias)
    torch.testing.assert_close(head.norm.running_mean, 0.1 * x.mean(0))
    torch.testing.assert_close(head.norm.running_var, 0.9 + 0.1 * x.var(0))

    head = ProbeHead(8, 3, norm='ln_l2').double()
    z = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    z = z / z.norm(dim=1, keepdim=True)
    torch.testing.assert_close(head(x), z @ head.linear.weight.T + head.linear.bias)

    head = ProbeHead(8, 3)
    assert torch.equal(head(x.float()), head.linear(x.float()))


def test_batch_norm_of_a_flattened_map_is_by_channel():
    """VISSL's 8192 numbers are a map of 2048 channels, whose positions share their statistics."""
    maps = torch.randn(5, 4, 2, 2)
    head = ProbeHead(16, 3, norm='bn', norm_channels=4)
    reference = nn.BatchNorm2d(4)
    torch.testing.assert_close(head(maps.flatten(1)), head.linear(reference(maps).flatten(1)))
    assert torch.equal(head.norm.running_mean, reference.running_mean)


def test_batch_of_one_takes_the_running_statistics():
    head = ProbeHead(4, 2, norm='bn')
    head(torch.randn(8, 4))
    state, x = copy.deepcopy(head.norm.state_dict()), torch.randn(1, 4)
    out = head(x)
    assert head.training and head.norm.training
    assert all(torch.equal(value, state[key]) for key, value in head.norm.state_dict().items())
    assert torch.equal(out, head.eval()(x))


def test_initial_weights_depend_on_the_seed_and_the_name_alone():
    one = ProbeHeads(VIT_HEADS, 3, seed=1)
    torch.rand(7)
    two = ProbeHeads(VIT_HEADS[::-1], 3, (0.1, 1.0), seed=1)
    other = ProbeHeads(VIT_HEADS, 3, seed=2)
    assert one.names == ['cls4_bn', 'cls', 'cls_raw_ln_l2']
    assert two.names[:2] == ['cls_raw_ln_l2_x0.1', 'cls_raw_ln_l2_x1']
    first, second = dict(one.items()), dict(two.items())
    for name in one.names:
        weight = first[name].linear.weight
        for factor in ('0.1', '1'):
            assert torch.equal(weight, second[f'{name}_x{factor}'].linear.weight)
        assert not torch.equal(weight, dict(other.items())[name].linear.weight)
    # torch's own bound, and that of the MSN release.
    assert 0.95 / 96**0.5 < first['cls4_bn'].linear.weight.abs().max() <= 1 / 96**0.5
    wide = ProbeHeads([dict(feature='cls', in_channels=4000, norm='ln_l2')], 9)
    ((_, head),) = wide.items()
    assert head.linear.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not head.linear.bias.any()


def test_losses_predictions_and_logits():
    model = probe(VIT, VIT_HEADS, num_classes=7)
    images = torch.randn(4, 3, 4, 4)
    features = model.extract_feat(images)
    assert [features[k].shape[1] for k in ('cls4', 'cls', 'cls_raw')] == [96, 24, 24]
    logits = model(images)
    losses = model([images], samples([0, 1, 2, 6]), mode='loss')
    for name, head in model.heads.items():
        torch.testing.assert_close(logits[name], head(features[model.heads.features[name]]))
        expected = -logits[name].log_softmax(1)[range(4), [0, 1, 2, 6]].mean()
        torch.testing.assert_close(losses[f'loss_{name}'], expected)
    total, log = model.parse_losses(losses)
    torch.testing.assert_close(total, sum(losses.values()))
    assert set(log) == {'loss', *losses}
    model.eval()
    logits = model(images)
    predicted = model(images, samples([0] * 4), mode='predict')
    for i, sample in enumerate(predicted):
        assert sample.probe_heads == model.heads.names
        for h, name in enumerate(model.heads.names):
            order = logits[name][i].argsort(descending=True)[:5]
            assert torch.equal(sample.probe_topk[h], order)


def run(tmp_path, model, train_size=22, epochs=1, lr=0.5, regularize_bn=False, **data):
    """A Runner that trained the probe; batches of 5, the last one kept."""
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=5,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(type='ToyImages', size=train_size, **data),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(
            constructor='LinearProbeOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=lr, momentum=0.9, nesterov=True, weight_decay=0.01),
            paramwise_cfg=dict(regularize_bn=regularize_bn),
        ),
        param_scheduler=dict(type='MultiStepLR', milestones=[1], gamma=0.1),
        val_dataloader=dict(
            batch_size=4,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='ToyImages', size=15, seed=1),
            collate_fn=dict(type='default_collate'),
        ),
        val_cfg=dict(),
        val_evaluator=dict(type='ProbeAccuracy'),
        randomness=dict(seed=0),
        default_scope='mmpretrain',
        experiment_name=tmp_path.name,
        log_level='INFO',
    )
    runner.train()
    return runner


@pytest.mark.parametrize(
    ('backbone', 'heads'),
    [(RESNET, [AVG, dict(AVG, norm='bn')]), (VIT, VIT_HEADS)],
    ids=['resnet', 'vit'],
)
def test_frozen_means_frozen(tmp_path, backbone, heads):
    """Weights and BN buffers bit-equal after an epoch; dropout off; the heads learn."""
    model = probe(backbone, heads)
    before = copy.deepcopy(model.state_dict())
    modes = []
    model.backbone.register_forward_hook(
        lambda *call: modes.append([m.training for m in model.backbone.modules()])
    )
    runner = run(tmp_path, model)
    assert len(modes) > 5 and not any(map(any, modes))
    # Whatever else asks for the mode of training.
    model.train()
    assert model.training and model.heads.training
    assert not any(module.training for module in model.backbone.modules())
    assert not any(param.requires_grad for param in model.backbone.parameters())
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {k for k in before if k.startswith('heads.')}
    assert len(runner.optim_wrapper.optimizer.param_groups) == 1 + len(heads) + (backbone is VIT)


def test_steps_equal_a_hand_recursion(tmp_path):
    """Nesterov's SGD in double precision by its formulas, each head with its rate; BN undecayed."""
    heads = [dict(AVG, norm='bn'), AVG]
    model = probe(RESNET, heads, lr_multipliers=[1.0, 0.25])
    reference = copy.deepcopy(model).double()
    run(tmp_path, model, epochs=2, lr=0.4)
    data, order = ToyImages(size=22), DefaultSampler(range(22), shuffle=True, seed=0)
    for name, head in reference.heads.items():
        rate = 0.4 * (0.25 if name.endswith('x0.25') else 1.0)
        velocity = {key: torch.zeros_like(value) for key, value in head.named_parameters()}
        for epoch in range(2):
            order.set_epoch(epoch)
            positions = torch.tensor(list(order))
            for index in positions.split(5):
                with torch.no_grad():
                    x = reference.backbone(data.images[index].double())[-1].mean((2, 3))
                head.zero_grad()
                F.cross_entropy(head(x), data.labels[index]).backward()
                with torch.no_grad():
                    for key, param in head.named_parameters():
                        decay = 0.0 if key.startswith('norm') else 0.01
                        gradient = param.grad + decay * param
                        velocity[key] = 0.9 * velocity[key] + gradient
                        param -= rate * 0.1**epoch * (gradient + 0.9 * velocity[key])
        trained = dict(model.heads.items())[name]
        for key, value in head.state_dict().items():
            got = trained.state_dict()[key]
            torch.testing.assert_close(got.to(value.dtype), value, rtol=1e-4, atol=1e-5, msg=name)


def test_scores_of_each_head_and_the_best(tmp_path, caplog):
    heads = [dict(AVG, name='good', norm='bn'), dict(AVG, name='idle')]
    model = probe(RESNET, heads)
    runner = run(tmp_path, model, noise=0.1)
    data = ToyImages(size=15, seed=1)
    with torch.no_grad():
        logits = model.eval()(data.images)
    last = {
        k.removeprefix('val/probe/'): v.current() for k, v in runner.message_hub.log_scalars.items()
    }
    for name in ('good', 'idle'):
        right = logits[name].argmax(1) == data.labels
        assert last[f'{name}/top1'] == pytest.approx(right.double().mean().item())
        means = [right[data.labels == c].double().mean() for c in data.labels.unique()]
        assert last[f'{name}/class_mean_top1'] == pytest.approx(float(sum(means) / len(means)))
        assert f'{name}/top5' not in last  # three classes
    assert last['top1'] == max(last['good/top1'], last['idle/top1'])
    assert 'loss_good' in ' '.join(runner.message_hub.log_scalars)
    best = max(('good', 'idle'), key=lambda name: last[f'{name}/top1'])
    (log,) = tmp_path.glob('*/*.log')
    assert f'best: {best} {100 * last["top1"]:.2f}' in log.read_text()


def test_metric_by_hand():
    metric = METRICS.build(dict(type='ProbeAccuracy'))
    rows = [(0, [0, 1, 2, 3, 4]), (0, [9, 8, 7, 6, 5]), (9, [1, 2, 3, 4, 9]), (9, [9, 0, 1, 2, 3])]
    metric.process(
        None,
        [
            dict(
                gt_label=torch.tensor([label]),
                probe_topk=torch.tensor([top, [5, 6, 7, 8, 1]]),
                probe_heads=['a', 'b'],
            )
            for label, top in rows
        ],
    )
    scores = metric.evaluate(4)
    assert (scores['probe/a/top1'], scores['probe/a/top5'], scores['probe/a/class_mean_top1']) == (
        0.5,
        0.75,
        0.5,
    )
    assert (
        scores['probe/top1'],
        scores['probe/top5'],
        scores['probe/b/top1'],
        scores['probe/b/top5'],
    ) == (0.5, 0.75, 0, 0)
    # With training counts, the mean over the classes of each group; a head that is extra is never
    # the best.
    metric = METRICS.build(
        dict(type='ProbeAccuracy', train_counts=[30] + [1] * 8 + [5], groups=(10, 20))
    )
    sample = dict(probe_heads=['a', 'b'], probe_extra=['a'])
    metric.process(
        None,
        [
            sample | dict(gt_label=torch.tensor([label]), probe_topk=torch.tensor([top, [9] * 5]))
            for label, top in rows
        ],
    )
    scores = metric.evaluate(4)
    groups = {key: value for key, value in scores.items() if key.split('/')[-1] in ('many', 'few')}
    assert groups == {
        'probe/many': 0.0,
        'probe/few': 1.0,
        'probe/a/many': 0.5,
        'probe/a/few': 0.5,
        'probe/b/many': 0.0,
        'probe/b/few': 1.0,
    }
    assert scores['probe/top1'] == scores['probe/b/top1'] and 'probe/medium' not in scores
    with pytest.raises(UserError, match='scores a LinearProbe; use Accuracy'):
        metric.process(None, [dict(gt_label=torch.tensor([0]))])
    with pytest.raises(UserError, match='has no gt_label'):
        metric.process(None, [dict(probe_topk=torch.zeros(1, 5), probe_heads=['a'])])


def test_parameter_groups():
    model = probe(VIT, VIT_HEADS, lr_multipliers=[0.1, 10])
    constructor = LinearProbeOptimWrapperConstructor
    optimizer = dict(type='SGD', lr=0.2, weight_decay=5e-4)
    for regularize, decay in ((False, 0.0), (True, 5e-4)):
        wrapper = constructor(dict(optimizer=optimizer), dict(regularize_bn=regularize))(model)
        groups = {group['name']: group for group in wrapper.optimizer.param_groups}
        assert len(groups) == 10 and sum(len(g['params']) for g in groups.values()) == 20
        for name, group in groups.items():
            factor = 0.1 if '_x0.1' in name else 10
            assert group['lr'] == pytest.approx(0.2 * factor)
            assert group['weight_decay'] == (decay if name.endswith('.norm') else 5e-4)
    with pytest.raises(UserError, match="may hold regularize_bn, got \\['custom_keys'\\]"):
        constructor(dict(optimizer=optimizer), dict(custom_keys={}))
    with pytest.raises(UserError, match='optimizer has no lr'):
        constructor(dict(optimizer=dict(type='SGD')))
    with pytest.raises(UserError, match='is for a LinearProbe, got a Linear'):
        constructor(dict(optimizer=optimizer))(nn.Linear(2, 2))


def test_a_diverged_head_leaves_the_others_alone():
    losses = dict(loss_a=torch.tensor(float('nan')), loss_b=torch.tensor(1.0))
    model = probe()
    assert torch.isnan(model.parse_losses(losses)[0])
    with pytest.raises(UserError, match='no loss is finite; .*learning rate is too high'):
        model.parse_losses(dict(loss_a=losses['loss_a']))
    heads = [dict(AVG, name='a'), dict(AVG, name='b')]
    model = probe(heads=heads)
    with torch.no_grad():
        dict(model.heads.items())['a'].linear.weight.fill_(float('nan'))
    model.parse_losses(model(torch.randn(2, 3, 8, 8), samples([0, 1]), mode='loss'))[0].backward()
    assert dict(model.heads.items())['b'].linear.weight.grad.isfinite().all()


def test_bad_input():
    images = torch.randn(2, 3, 8, 8)
    model = probe()
    for call, message in (
        (lambda: model([images, images], samples([0, 1]), 'loss'), 'samples come as 2 views'),
        (lambda: model(images, [DataSample(), DataSample()], 'loss'), 'a sample has no gt_label'),
        (lambda: model(images, samples([[0, 1], 1]), 'loss'), 'a sample has several labels'),
        (lambda: model(images, samples([0, 3]), 'loss'), 'a label is 3, but num_classes=3'),
        (lambda: model(images, samples([0, -1]), 'loss'), 'a label is -1'),
        (lambda: model(images, samples([0, 1]), 'train'), "got 'train'"),
        (lambda: probe(heads=[dict(AVG, in_channels=31)])(images), r'shape \(2, 32\), .*=31: set'),
        (lambda: probe(heads=[]), 'at least one head and two classes'),
        (lambda: probe(heads=[dict(AVG, extra=True)]), 'every head is extra'),
        (lambda: probe(num_classes=1), 'at least one head and two classes'),
        (lambda: probe(heads=[AVG, AVG]), "two heads are called 'avg'"),
        (lambda: probe(heads=[dict(feature='avg')]), r"needs feature and in_channels.*\['feature'"),
        (lambda: probe(heads=[dict(AVG, dropout=0.1)]), 'needs feature and in_channels.*dropout'),
        (lambda: probe(heads=[dict(AVG, feature='x')]), "unknown feature 'x'"),
        (lambda: probe(heads=[dict(AVG, norm='gn')]), "norm of a head must be .*'gn'"),
        (lambda: probe(heads=[dict(AVG, norm='bn', norm_channels=5)]), 'must divide in_channels'),
        (lambda: probe(heads=[dict(AVG, norm_channels=4)]), "is for norm='bn'"),
        (lambda: probe(lr_multipliers=[1, 0]), r'must be positive, got \[1, 0\]'),
    ):
        with pytest.raises(UserError, match=message):
            call()
    assert isinstance(model, BaseModel)
