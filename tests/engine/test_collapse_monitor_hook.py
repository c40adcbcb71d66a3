"""The monitor measures without a trace, alike on any number of ranks, and tells of collapse."""

import json
import re
from dataclasses import replace

import cv2
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from mmssl_prior.cli.analyze_logs import main as analyze_logs
from mmssl_prior.engine import CollapseMonitorHook
from mmssl_prior.errors import UserError
from mmssl_prior.evaluation.training_log import read_training_log, train_time
from mmssl_prior.functional import power_law_prior
from mmssl_prior.insight import find_failures, scalars
from mmssl_prior.insight.health import FIRST, PATIENCE
from mmssl_prior.models import MSN
from mmssl_prior.study.sorted_matching import SortedPMSNHead
from tests.gloo import run_ranks
from tests.smoke import smoke_config

STEPS, BATCH, K = 6, 8, 12


class Views(torch.utils.data.Dataset):
    """Fixed views of an image; or other noise each time, so that they have nothing in common."""

    def __init__(self, noise=False):
        self.generator = torch.Generator().manual_seed(0)
        self.noise = noise
        self.images = self.draw(STEPS * BATCH)
        self.views = [(self.images + self.draw(STEPS * BATCH))[..., :s, :s] for s in (16, 16, 8)]

    def draw(self, *count):
        return torch.randn(*count, 3, 16, 16, generator=self.generator)

    def __len__(self):
        return STEPS * BATCH

    def __getitem__(self, i):
        views = [self.draw() if self.noise else view[i] for view in self.views]
        return dict(inputs=[view.to(torch.get_default_dtype()) for view in views])


def train(
    work_dir, hook, world_size=1, epochs=1, drop_path=0.0, noise=False, head=None, backends=()
):
    """Train a small PMSN; the runner, and the hook that it was given."""
    torch.manual_seed(0)
    hooks = [dict(type='TargetNetworkHook', momentum=0.9)]
    if hook is not None:
        hooks.append(dict(type='CollapseMonitorHook', **hook))
    runner = Runner(
        model=dict(
            type='MSN',
            patch_drop=0.3,
            data_preprocessor=dict(type='BaseDataPreprocessor'),
            backbone=dict(
                type='MSNViT',
                img_size=16,
                patch_size=4,
                drop_path_rate=drop_path,
                arch=dict(embed_dims=12, num_layers=2, num_heads=2, feedforward_channels=16),
            ),
            neck=dict(type='MSNNeck', in_channels=12, hid_channels=10, out_channels=8),
            head=dict(type='PMSNHead', num_prototypes=K, embed_dim=8) | (head or {}),
        ),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=BATCH // world_size,
            num_workers=0,
            dataset=Views(noise=noise),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2), clip_grad=dict(max_norm=3.0)),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=2)),
        custom_hooks=hooks,
        randomness=dict(seed=3),
        default_scope='mmpretrain',
        log_level='WARNING',
        launcher='none' if world_size == 1 else 'pytorch',
        experiment_name=f'monitor_{work_dir}_{world_size}',
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), *backends]),
        cfg=dict(
            model_wrapper_cfg=dict(
                type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False
            )
        ),
    )
    runner.train()
    found = [one for one in runner.hooks if isinstance(one, CollapseMonitorHook)]
    return runner, found[0] if found else None


def test_training_is_the_same_to_the_bit(tmp_path):
    """With stochastic depth, which draws from the generator, and batch norm, which counts."""
    states, generators = [], []
    for name, hook in (('without', None), ('with', dict(interval=1))):
        runner, _ = train(tmp_path / name, hook, drop_path=0.3)
        states.append(runner.model.state_dict())
        generators.append(torch.get_rng_state())
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    assert torch.equal(*generators)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Two epochs of six steps, a record every four and at the end; every second is drawn."""
    folder = tmp_path_factory.mktemp('run')
    backends = [dict(type='TensorboardVisBackend')]
    runner, hook = train(folder, dict(interval=4, figure_interval=2), epochs=2, backends=backends)
    return folder, runner, hook


def test_what_is_written(run):
    folder, runner, hook = run
    (log,) = folder.glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in log.read_text().splitlines()]
    health = [record for record in records if 'health/rankme' in record]
    assert [(r['step'], r['iter'], r['epoch']) for r in health] == [
        (4, 4, 1),
        (8, 8, 2),
        (12, 12, 2),
    ]
    assert {name: health[-1][name] for name in health[-1] if '/' in name} == pytest.approx(
        scalars(hook.records[-1])
    )
    assert [r['health/usage_images'] for r in health] == [8, 16, 24]
    pictures = sorted(log.parent.glob('vis_image/health_*.png'))
    assert [path.name for path in pictures] == ['health_12.png', 'health_8.png']
    assert cv2.imread(str(pictures[0])).std() > 5


def test_tensorboard_has_the_same(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _, hook = run
    (events,) = folder.rglob('events.out*')
    log = EventAccumulator(str(events)).Reload()
    assert set(scalars(hook.records[-1])) <= set(log.Tags()['scalars'])
    assert log.Tags()['images'] == ['health']
    assert [event.step for event in log.Scalars('health/rankme')] == [4, 8, 12]


def test_the_log_is_read_and_drawn(run, tmp_path, capsys):
    folder, _, _ = run
    curves = read_training_log(folder, by_epoch=True)
    assert curves['health/rankme'][0] == pytest.approx([4 / 6, 8 / 6, 2])
    assert train_time(folder).iterations == 12
    keys = ['health/rankme', 'health/usage_kl']
    out = str(tmp_path / 'health.png')
    assert analyze_logs(['plot_curve', str(folder), '--keys', *keys, '--out', out]) == 0
    capsys.readouterr()
    assert cv2.imread(out).std() > 5


def test_values_of_the_last_record(run):
    """The model's own functions on the first view of the last batch."""
    _, runner, hook = run
    record, model = hook.records[-1], runner.model
    images = torch.stack(Views().views[0][-BATCH:].unbind()).to(torch.get_default_dtype())
    model.eval()
    with torch.no_grad():
        features, log_p = model(images, mode='tensor'), model.assign(images)
    singular = torch.linalg.svdvals(features.double())
    torch.testing.assert_close(record.features.spectrum, singular, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(record.predictions.mass, log_p.double().exp().sum(0))
    target = [p.detach().flatten() for p in model.target_backbone.parameters()]
    target += [p.detach().flatten() for p in model.target_neck.parameters()]
    trained = [p.detach().flatten() for m in (model.backbone, model.neck) for p in m.parameters()]
    target, trained = torch.cat(target), torch.cat(trained)
    assert record.ema_distance == pytest.approx(
        float((target - trained).norm() / trained.norm()), rel=1e-5
    )
    prototypes = model.head.prototypes.detach()
    weight = torch.cat([trained, prototypes.flatten()]).norm()
    assert record.weight_norm == pytest.approx(float(weight), rel=1e-5)
    assert record.grad_norm > 0 and record.loss > 0 and record.images == BATCH


def test_usage_is_compared_with_the_prior_that_is_in_force(tmp_path):
    head = dict(type=SortedPMSNHead.__name__, prior=dict(type='PowerLawPrior', exponent=1.0))
    runner, hook = train(tmp_path, dict(interval=STEPS, figure_interval=0), head=head)
    (record,) = hook.records
    usage = runner.model.head.usage.tolist()
    ranked = sorted(range(K), key=lambda k: -usage[k])
    assert ranked != list(range(K))
    prior = power_law_prior(K, 1.0)[[ranked.index(k) for k in range(K)]]
    torch.testing.assert_close(record.log_prior.exp().double(), prior, rtol=1e-5, atol=1e-8)
    p_bar = record.predictions.mass / BATCH
    assert record.usage.kl == pytest.approx(float((p_bar * (p_bar / prior).log()).sum()), rel=1e-4)


def test_epochs_images_and_window(tmp_path):
    hook = dict(interval=2, by_epoch=True, images=5, window=2, figure_interval=0)
    _, monitor = train(tmp_path, hook, epochs=5)
    assert [record.iteration for record in monitor.records] == [12, 24, 30]
    assert [record.usage.images for record in monitor.records] == [5, 10, 10]
    assert not list(tmp_path.rglob('*.png'))


OFF = dict(sinkhorn=dict(marginal='off'), prior_loss=dict(loss_weight=0.0))


@pytest.mark.parametrize(
    ('failure', 'kwargs'),
    [
        ('collapsed_onto_few', dict(head=OFF)),
        ('same_prediction', dict(noise=True, head=dict(prior=dict(type='UniformPrior')))),
    ],
)
def test_a_run_that_fails_is_told_of_once(tmp_path, failure, kwargs):
    """No term against collapse; and views that have nothing in common."""
    _, hook = train(tmp_path, dict(interval=10, figure_interval=0), epochs=22, **kwargs)
    assert failure in hook.warned
    (log,) = tmp_path.glob('*/*.log')
    warnings = [line for line in log.read_text().splitlines() if 'docs/collapse.md' in line]
    assert len(warnings) == len(hook.warned)
    assert sum(f'(docs/collapse.md, {failure})' in line for line in warnings) == 1


class Watch(Hook):
    """All records of the monitor."""

    def __init__(self):
        self.records = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        (monitor,) = (one for one in runner.hooks if isinstance(one, CollapseMonitorHook))
        if monitor.records and monitor.records[-1].iteration == runner.iter + 1:
            self.records.append(monitor.records[-1])


def test_a_healthy_run_is_told_nothing(tmp_path):
    """A real config's first steps on the embedded data, with records from the start on."""
    cfg = smoke_config('configs/pmsn/pmsn_vit-mini_patterns-lt.py', tmp_path, {})
    cfg.train_dataloader.batch_size = 32
    cfg.train_dataloader.dataset.update(num_images=320, indices=None)
    cfg.train_cfg.max_epochs = 4
    cfg.default_hooks.collapse.update(interval=2)
    runner = Runner.from_cfg(cfg)
    watch = Watch()
    runner.register_hook(watch, priority='LOWEST')
    runner.train()
    (hook,) = (one for one in runner.hooks if isinstance(one, CollapseMonitorHook))
    assert runner.iter == 40 and hook.warned == {}
    assert [record.iteration for record in watch.records] == list(range(2, 41, 2))
    # Nor later, of all that can be seen so early: at first few prototypes are any image's choice.
    late = [replace(record, iteration=FIRST, progress=0.5) for record in watch.records]
    for i in range(len(late)):
        assert set(find_failures(late[i : i + PATIENCE + 1])) <= {'dead_prototypes'}


def on_rank(rank, world_size, folder):
    """Scalars of all records; the images of a step are those of one process."""
    torch.set_default_dtype(torch.float64)
    collected = []
    add = Visualizer.add_scalars.__wrapped__
    try:
        Visualizer.add_scalars = lambda self, values, **kwargs: collected.append(dict(values))
        _, hook = train(f'{folder}/{rank}of{world_size}', dict(interval=2), world_size)
    finally:
        Visualizer.add_scalars = add
        torch.set_default_dtype(torch.float32)
    return [values for values in collected if 'health/rankme' in values]


def test_ranks_equal_one_process(tmp_path):
    (one,) = [on_rank(0, 1, tmp_path)]
    for values in run_ranks(2, on_rank, 2, str(tmp_path)):
        assert len(values) == len(one) == 3
        for ours, theirs in zip(values, one):
            assert ours == pytest.approx(theirs, rel=1e-6)


def test_a_model_that_is_no_pretraining_is_left_alone():
    hook = CollapseMonitorHook(interval=1)

    class Trained:
        model = torch.nn.Linear(2, 2)
        iter, max_iters = 0, 1

    hook.after_train_iter(Trained(), 0)
    assert not hook.records


def test_features_that_cannot_be_measured_stop_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(MSN, 'extract_feat', lambda self, inputs: inputs.flatten(2))
    runner, hook = train(tmp_path, dict(interval=1))
    assert runner.iter == STEPS and not hook.records
    (log,) = tmp_path.glob('*/*.log')
    told = re.findall('not watched for collapse: .* shape .8, 3, 256.', log.read_text())
    assert len(told) == 1


@pytest.mark.parametrize(
    ('argument', 'least'), [('interval', 1), ('images', 2), ('window', 1), ('figure_interval', 0)]
)
def test_a_bad_argument(argument, least):
    message = f'CollapseMonitorHook: {argument} must be an integer >= {least}, got {least - 1}'
    with pytest.raises(UserError, match=re.escape(message)):
        CollapseMonitorHook(**{argument: least - 1})
