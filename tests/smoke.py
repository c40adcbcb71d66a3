"""One override that lets any config of this repository run in seconds."""

from pathlib import Path

from mmengine import Config

__all__ = ['CONFIGS', 'ROOT', 'smoke_config']

ROOT = Path(__file__).parents[1]
#: What is trained; studies are grids of these.
CONFIGS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / 'configs').rglob('*.py')
    if not {'_base_', 'studies'} & set(path.parts)
)
# Width, heads and patch size of encoders that take gigabytes: two of their blocks are trained.
DEEP = {'vit-l/16': (1024, 16, 16), 'vit-h/14': (1280, 16, 14)}


def smoke_config(path, work_dir, data, checkpoint=None):
    """Load a config and shrink what it takes, not what it does.

    One batch of 2 images of different classes from the miniatures, one view
    of each focal kind, no workers, one epoch without validation; model,
    transforms, optimizer, schedules and hooks stay as they are, but for the
    depth of what fits no small machine.

    Args:
        path: Config, relative to the repository.
        work_dir: Folder of the run.
        data: Miniature roots by dataset class.
        checkpoint: What a pretrained backbone loads.
    """
    cfg = Config.fromfile(ROOT / path)
    cfg.work_dir = str(work_dir)
    cfg.launcher = 'none'
    for loader in _dataloaders(cfg):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False, pin_memory=False)
        if 'num_classes_per_batch' in (loader.get('batch_sampler') or {}):
            loader.batch_sampler.num_classes_per_batch = 2
        dataset = loader.dataset
        while 'dataset' in dataset:
            dataset = dataset.dataset
        if dataset.type in data:
            dataset.data_root = str(data[dataset.type])
        # The first and the last: files are in the order of their classes.
        dataset.indices = [0, -1]
        for transform in dataset.get('pipeline', []):
            if 'num_views' in transform:
                large, *focal = transform.num_views
                transform.num_views = [large, *(1 for _ in focal)]
    cfg.train_cfg.update(max_epochs=1, val_interval=1000)
    cfg.default_hooks.checkpoint.update(interval=1000, save_last=False)
    if 'minutes' in cfg.default_hooks.checkpoint:
        cfg.default_hooks.checkpoint.minutes = None
    if cfg.get('val_cfg') and 'k' in cfg.val_cfg:
        cfg.val_cfg.k = [1, 2]
    arch = cfg.model.backbone.get('arch')
    if isinstance(arch, str) and arch in DEEP:
        width, heads, patch = DEEP[arch]
        cfg.model.backbone.patch_size = patch
        cfg.model.backbone.arch = dict(
            embed_dims=width, num_layers=2, num_heads=heads, feedforward_channels=4 * width
        )
    init_cfg = cfg.model.backbone.get('init_cfg')
    if isinstance(init_cfg, dict) and init_cfg.get('type') == 'Pretrained':
        init_cfg.checkpoint = str(checkpoint)
    return cfg


def _dataloaders(cfg):
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(name):
            yield cfg[name]
    if cfg.get('val_cfg') and cfg.val_cfg.get('bank_dataloader'):
        yield cfg.val_cfg.bank_dataloader
