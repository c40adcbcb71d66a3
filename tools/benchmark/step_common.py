"""What the benchmarks of the training step share: two ways to take it, clocks, FLOPs, machine."""

import datetime
import os
import platform
import statistics
import time
import weakref

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope, build_from_cfg
from mmpretrain.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmssl_prior.engine import MSNOptimWrapperConstructor  # noqa: F401  registers
from mmssl_prior.errors import UserError
from mmssl_prior.functional import global_mean, soft_cross_entropy
from mmssl_prior.models import MSN, MSNViT

# What mmengine says of each initialised parameter is no part of a benchmark.
MMLogger.get_instance('mmengine', log_level='WARNING')

PHASES = ('forward', 'backward', 'optimizer', 'average')


def msn_config(arch: str, prototypes: int = 1024) -> dict:
    """PMSN around a vision transformer, as the configs of the full-size runs have it."""
    with torch.device('meta'):
        width = MSNViT(arch).embed_dims
    return dict(
        type='MSN',
        backbone=dict(type='MSNViT', arch=arch),
        neck=dict(type='MSNNeck', in_channels=width),
        head=dict(type='PMSNHead', num_prototypes=prototypes),
    )


def read(source: str, prototypes: int, sizes: list[int]) -> tuple[dict, list[int], dict]:
    """Model, sizes of views and optimizer wrapper of a config's file or of an arch's name."""
    wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.04))
    wrapper['clip_grad'] = dict(max_norm=3.0)
    if not source.endswith('.py'):
        return msn_config(source, prototypes), sizes, wrapper
    cfg = Config.fromfile(source)
    model = cfg.model.to_dict()
    if model['type'] != 'MSN':
        raise UserError(f'{source}: the benchmark takes steps of MSN, this is {model["type"]}')
    views = []
    for step in cfg.train_dataloader.dataset.get('pipeline', []):
        for number, transforms in zip(step.get('num_views', []), step.get('transforms', [])):
            scale = next(t.scale for t in transforms if 'scale' in t)
            views += number * [scale if isinstance(scale, int) else scale[0]]
    return model, views or sizes, cfg.optim_wrapper.to_dict()


class Step:
    """A training step of MSN on random images, in phases.

    The plain one is what a reader of the formulas writes: float32, a pass for
    each size of views with the blocks as MMPretrain has them, AdamW, clipping
    and moving average one parameter after the other, cross-entropy as a sum
    of products, and every term of the loss read in every step. The fast one is
    what the configs of this package run.
    """

    def __init__(self, cfg, wrapper, sizes, batch, device, *, plain, dtype=None, compile=False):
        torch.manual_seed(0)
        self.plain, self.device = plain, torch.device(device)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            self.model = MODELS.build(dict(cfg, packed=cfg.get('packed', True) and not plain))
        self.model.init_weights()
        self.model.to(self.device).train()
        optimizer = dict(wrapper['optimizer'])
        optimizer.pop('foreach', None)
        optimizer.update(dict(fused=False, foreach=False) if plain else dict(fused=True))
        settings = dict(
            type='GroupClipOptimWrapper',
            optimizer=optimizer,
            clip_grad=dict(wrapper.get('clip_grad') or dict(max_norm=3.0)),
            dtype=None if plain or dtype == 'float32' else dtype,
        )
        constructor = build_from_cfg(
            dict(type='MSNOptimWrapperConstructor', optim_wrapper_cfg=settings),
            OPTIM_WRAPPER_CONSTRUCTORS,
        )
        self.wrapper = constructor(self.model)
        if plain and isinstance(self.model.backbone, MSNViT):
            for trunk in (self.model.backbone, self.model.target_backbone):
                trunk.blocks_as_modules = True
        if not plain:
            self.wrapper.defer()
            self.model.check_deferred = True
            if compile:
                self.model.backbone.compile_blocks()
                self.model.target_backbone.compile_blocks()
        generator = torch.Generator().manual_seed(0)
        self.views = [
            torch.randn(batch, 3, size, size, generator=generator).to(self.device) for size in sizes
        ]
        self.iteration, self.values = 0, {}
        self.processor_seconds = 0.0  # of the last whole step, on all cores

    def forward(self):
        self.model.set_step(0, self.iteration)
        with self.wrapper.optim_context(self.model):
            losses = (
                _plain_losses(self.model, self.views)
                if self.plain
                else self.model(self.views, mode='loss')
            )
        self.loss, self.values = self.model.parse_losses(losses)

    def backward(self):
        self.wrapper.backward(self.loss)

    def optimizer(self):
        if self.plain:
            clipped, _ = self.wrapper._grads()
            float(clip_grad_norm_(clipped, 3.0, foreach=False))
            self.wrapper.optimizer.step()
        else:
            self.wrapper._withhold_unless(self.loss.detach().isfinite())
            self.wrapper.step()
        self.wrapper.zero_grad()

    def average(self):
        if not self.plain:
            self.model.update_target(0.996, self.wrapper.withheld)
            return
        with torch.no_grad():
            for name in self.model._averaged:
                target, trained = getattr(self.model, f'target_{name}'), getattr(self.model, name)
                for a, b in zip(target.parameters(), trained.parameters()):
                    a.mul_(0.996).add_(b, alpha=1 - 0.996)
        for value in self.values.values():
            value.item()

    def whole(self):
        """Seconds of a step, nothing in it waited for but its end."""
        synchronize(self.device)
        start, processor = time.perf_counter(), time.process_time()
        for phase in PHASES:
            getattr(self, phase)()
        self.iteration += 1
        synchronize(self.device)
        self.processor_seconds = time.process_time() - processor
        return time.perf_counter() - start

    def apart(self):
        """Seconds of each phase, each waited for."""
        seconds = {}
        for phase in PHASES:
            synchronize(self.device)
            start = time.perf_counter()
            getattr(self, phase)()
            synchronize(self.device)
            seconds[phase] = time.perf_counter() - start
        self.iteration += 1
        return seconds


def _plain_losses(model: MSN, views):
    target_view, *anchors = views
    with torch.no_grad():
        target = model.target_neck(model._features(model.target_backbone, target_view))
    features = model._anchor_features(anchors)
    z = torch.cat([model.neck(f) for f in features]).view(len(anchors), len(target), -1)
    head = model.head
    q, log_p = head.targets(target), head.log_probs(z)
    loss_prior, _ = head.prior_loss(log_p.flatten(0, 1), head._prior_or_raise())
    loss_ce = global_mean(soft_cross_entropy(q, log_p))
    return dict(loss_ce=loss_ce, loss_prior=loss_prior, **head._target_diagnostics(q))


def synchronize(device) -> None:
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize()


class _Live(TorchDispatchMode):
    """Bytes of the storages that come to life under it, now and at most."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.seen = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        old = {
            x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)
        }
        for x in tree_leaves(out):
            storage = x.untyped_storage() if isinstance(x, Tensor) else None
            if storage is None or storage._cdata in self.seen or storage._cdata in old:
                continue
            key, size = storage._cdata, storage.nbytes()
            self.seen[key] = weakref.finalize(storage, self._gone, key, size)
            self.now += size
            self.peak = max(self.peak, self.now)
        return out

    def _gone(self, key, size):
        self.seen.pop(key, None)
        self.now -= size


def peak_memory(device, work) -> float:
    """MiB that ``work`` takes at most, on top of the tensors that are there before it."""
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with _Live() as live:
        work()
    return live.peak / 2**20


def matmul_peak(device, dtype: str) -> float:
    """TFLOP/s of the best of three products of square matrices."""
    kind = getattr(torch, dtype)
    size = 8192 if torch.device(device).type == 'cuda' else 1024
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    best = float('inf')
    repeats = 10 if size > 2000 else 4
    for _ in range(4):
        synchronize(device)
        start = time.perf_counter()
        for _ in range(repeats):
            a @ b
        synchronize(device)
        best = min(best, (time.perf_counter() - start) / repeats)
    return 2 * size**3 / best / 1e12


def vit_flops(vit: MSNViT, tokens: int, patches: int) -> float:
    """FLOPs of a forward pass of an image: products of matrices, two for a multiply-add."""
    width, hidden = vit.embed_dims, vit.layers[0].ffn.feedforward_channels
    block = 4 * tokens * width**2 + 2 * tokens * width * hidden + 2 * tokens**2 * width
    embed = patches * width * 3 * vit.patch_size[0] * vit.patch_size[1]
    return 2.0 * (len(vit.layers) * block + embed)


def step_flops(model: MSN, sizes: list[int]) -> float:
    """FLOPs of a step on one image by formula: a backward pass counts as two forward ones."""
    vit, neck, head = model.backbone, model.neck, model.head
    extra = vit.num_extra_tokens
    hidden, inner = neck.fc1.weight.shape
    projection = 2.0 * (inner * hidden + hidden**2 + hidden * neck.out_channels)
    projection += 2.0 * head.prototypes.numel()
    total = 0.0
    for i, size in enumerate(sizes):
        rows, columns = vit.token_grid((size, size))
        patches = rows * columns
        kept = int((1 - model.patch_drop) * patches + 1e-6) if i == 1 else patches
        work = vit_flops(vit, kept + extra, patches) + projection
        total += work if i == 0 else 3 * work
    return total


def counted_flops(step: Step) -> float:
    """FLOPs of a step on one image as torch counts them while it runs."""
    # The counter knows attention by its products, not all of the fused kernels of a CPU.
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step.forward()
        step.backward()
    step.wrapper.zero_grad()
    return counter.get_total_flops() / len(step.views[0])


def environment(device) -> dict:
    name = platform.processor() or platform.machine()
    try:
        with open('/proc/cpuinfo') as file:
            name = next(
                line.split(':')[1].strip() for line in file if line.startswith('model name')
            )
    except (OSError, StopIteration):
        pass
    on_gpu = torch.device(device).type == 'cuda'
    return dict(
        device=torch.cuda.get_device_name() if on_gpu else f'{name}, {os.cpu_count()} cores',
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        date=datetime.date.today().isoformat(),
    )


def median(values) -> float:
    return statistics.median(values)


def ratio_of_pairs(values, others) -> float:
    """Median ratio of what was measured one after the other."""
    return statistics.median(value / other for value, other in zip(values, others))
