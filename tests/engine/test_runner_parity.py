"""Three full steps through MMEngine's Runner against a plain loop and against gloo ranks.

Everything is on: patch dropping, batch norm, clipping, parameter groups,
schedules, Sinkhorn, prior, moving average. Double precision, fixed views.
"""

import copy
import math
import tempfile

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

import mmssl_prior  # noqa: F401
from mmssl_prior.functional import power_law_prior
from tests.gloo import run_ranks
from tests.models.msn_reference import msn_loss, projection, vision_transformer

STEPS, BATCH, SEED = 3, 6, 11
MODES = ['batch', 'sample']


class Views(torch.utils.data.Dataset):
    """Fixed views of 18 images: target, anchor, two focal anchors."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.views = [
            torch.randn(STEPS * BATCH, 3, s, s, generator=generator, dtype=torch.float64)
            for s in (16, 16, 8, 8)
        ]

    def __len__(self):
        return STEPS * BATCH

    def __getitem__(self, i):
        return dict(inputs=[v[i] for v in self.views])


class Record(Hook):
    """Weights before the first and after each step, and the losses."""

    priority = 'LOWEST'

    def __init__(self):
        self.states, self.losses = [], []

    def before_train(self, runner):
        self._record(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._record(runner)
        self.losses.append({k: float(v) for k, v in outputs.items()})

    def _record(self, runner):
        model = getattr(runner.model, 'module', runner.model)
        self.states.append(copy.deepcopy(model.state_dict()))


def train(mode, world_size=1, name='parity'):
    """Run the Runner; returns states, losses and the model."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    record = Record()
    try:
        with tempfile.TemporaryDirectory() as work_dir:
            runner = Runner(
                model=dict(
                    type='MSN',
                    patch_drop=0.3,
                    patch_drop_mode=mode,
                    data_preprocessor=dict(type='BaseDataPreprocessor'),
                    backbone=dict(
                        type='MSNViT',
                        img_size=16,
                        patch_size=4,
                        arch=dict(
                            embed_dims=12, num_layers=2, num_heads=2, feedforward_channels=16
                        ),
                    ),
                    neck=dict(type='MSNNeck', in_channels=12, hid_channels=10, out_channels=8),
                    head=dict(
                        type='PMSNHead',
                        num_prototypes=7,
                        embed_dim=8,
                        prior=dict(type='PowerLawPrior', exponent=1.0),
                        prior_loss=dict(loss_weight=0.7),
                    ),
                ),
                work_dir=work_dir,
                train_dataloader=dict(
                    batch_size=BATCH // world_size,
                    num_workers=0,
                    dataset=Views(),
                    sampler=dict(type='DefaultSampler', shuffle=False),
                    collate_fn=dict(type='default_collate'),
                ),
                train_cfg=dict(by_epoch=True, max_epochs=1),
                optim_wrapper=dict(
                    type='GroupClipOptimWrapper',
                    constructor='MSNOptimWrapperConstructor',
                    optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.1, fused=True),
                    clip_grad=dict(max_norm=0.05),
                ),
                param_scheduler=[
                    dict(type='LinearLR', start_factor=0.5, by_epoch=False, begin=0, end=3),
                    dict(
                        type='CosineAnnealingWeightDecay',
                        T_max=10,
                        eta_min=0.4,
                        by_epoch=False,
                        begin=0,
                        end=10,
                    ),
                ],
                cfg=dict(
                    model_wrapper_cfg=dict(
                        type='MMDistributedDataParallel',
                        device_ids=None,
                        broadcast_buffers=False,
                        static_graph=True,
                        gradient_as_bucket_view=True,
                    )
                ),
                default_hooks=dict(runtime_info=dict(type='DeferredRuntimeInfoHook')),
                custom_hooks=[dict(type='TargetNetworkHook', momentum=0.9), record],
                randomness=dict(seed=SEED),
                default_scope='mmpretrain',
                log_level='WARNING',
                launcher='none' if world_size == 1 else 'pytorch',
                experiment_name=f'{name}_{mode}_{world_size}',
            )
            runner.train()
    finally:
        torch.set_default_dtype(default)
    return record.states, record.losses, getattr(runner.model, 'module', runner.model)


def part(state, prefix):
    return {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}


def plain_loop(state, keeps):
    """Masked Siamese Networks with AdamW, clipping, schedules and averaging written out."""
    w = {k: v.clone() for k, v in state.items()}
    data = Views()
    moments = {k: (torch.zeros_like(v), torch.zeros_like(v)) for k, v in w.items()}
    trained = [
        k
        for k in w
        if not k.startswith('target_') and 'running' not in k and 'num_batches' not in k
    ]
    states, losses = [], []
    for step in range(STEPS):
        views = [v[step * BATCH : (step + 1) * BATCH] for v in data.views]
        for k in trained:
            w[k] = w[k].detach().requires_grad_()
        backbone, neck = part(w, 'backbone.'), part(w, 'neck.')
        target_backbone, target_neck = part(w, 'target_backbone.'), part(w, 'target_neck.')
        with torch.no_grad():
            target = projection(
                target_neck, vision_transformer(target_backbone, views[0], 4, 2, (4, 4))
            )
        large = projection(neck, vision_transformer(backbone, views[1], 4, 2, (4, 4), keeps[step]))
        focal = projection(
            neck, torch.cat([vision_transformer(backbone, v, 4, 2, (4, 4)) for v in views[2:]])
        )
        prior = power_law_prior(7, 1.0)
        ce, term = msn_loss(
            [large, *focal.split(BATCH)],
            target,
            w['head.prototypes'],
            marginal=prior,
            prior=prior,
            weight=0.7,
        )
        grads = dict(zip(trained, torch.autograd.grad(ce + term, [w[k] for k in trained])))
        norm = math.sqrt(
            sum(float(g.square().sum()) for k, g in grads.items() if k != 'head.prototypes')
        )
        assert norm > 0.05, 'clipping must be at work'
        lr = 1e-2 * (0.5 + 0.5 * step / 2)
        decay = 0.4 + (0.1 - 0.4) * (1 + math.cos(math.pi * step / 10)) / 2
        with torch.no_grad():
            for k in trained:
                g = grads[k] if k == 'head.prototypes' else grads[k] * min(1, 0.05 / (norm + 1e-6))
                m, v = moments[k]
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g**2)
                decayed = w[k].ndim > 1 and k != 'head.prototypes'
                p = w[k] * (1 - lr * decay * decayed)
                m_hat, v_hat = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
                w[k] = p - lr * m_hat / (v_hat.sqrt() + 1e-8)
            momentum = 0.9 + 0.1 * step / (1.25 * STEPS)
            for k in trained:
                if f'target_{k}' in w:
                    w[f'target_{k}'] = momentum * w[f'target_{k}'] + (1 - momentum) * w[k]
        for prefix, net in (('neck.', neck), ('target_neck.', target_neck)):
            w.update({prefix + k: v for k, v in net.items() if 'running' in k})
        states.append({k: v.detach().clone() for k, v in w.items()})
        losses.append(dict(loss_ce=float(ce), loss_prior=float(term)))
    return states, losses


@pytest.mark.parametrize('mode', MODES)
def test_three_steps_equal_a_plain_loop(mode):
    states, losses, model = train(mode)
    keeps = []
    for step in range(STEPS):
        model.set_step(SEED, step)
        keeps.append(model._keep(Views().views[1][:BATCH]))
    expected, expected_losses = plain_loop(states[0], keeps)
    for i in range(STEPS):
        for name, value in expected_losses[i].items():
            assert losses[i][name] == pytest.approx(value, rel=1e-6), (i, name)
        for name, value in expected[i].items():
            if 'num_batches' not in name:
                torch.testing.assert_close(
                    states[i + 1][name],
                    value,
                    rtol=0,
                    atol=1e-6,
                    msg=lambda m, i=i, name=name: f'step {i}, {name}: {m}',
                )
        moved = (states[i + 1]['head.prototypes'] - states[i]['head.prototypes']).abs()
        assert float(moved.min()) > 1e-6, 'prototypes move'


def train_on_rank(rank, world_size):
    results = {}
    for mode in MODES:
        states, losses, _ = train(mode, world_size, f'rank{rank}')
        results[mode] = states[-1], losses
    return results


@pytest.mark.parametrize('world_size', [2, 3])
def test_ranks_equal_one_process(world_size):
    ranks = run_ranks(world_size, train_on_rank, world_size)
    for mode in MODES:
        states, losses, _ = train(mode)
        for results in ranks:
            weights, rank_losses = results[mode]
            for step, terms in enumerate(losses):
                assert rank_losses[step] == pytest.approx(terms, rel=1e-7), step
            for name, value in states[-1].items():
                torch.testing.assert_close(
                    weights[name], value, rtol=0, atol=1e-6, msg=lambda m, name=name: f'{name}: {m}'
                )
