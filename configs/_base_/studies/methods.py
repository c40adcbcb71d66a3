# The methods of the studies, at the learning rates that studies/tuning.py found and, where an epoch
# costs less, over as many more. PMSN has MSN's rate. The untrained networks are those of SimCLR (as
# of all others but the last two) and of MAE and data2vec, whose patches do not overlap.
_rate = {'optim_wrapper.optimizer.lr': 4e-3}
_none = {
    'optim_wrapper.optimizer.lr': 0.0,
    'train_cfg.max_epochs': 1,
    'train_cfg.val_interval': 1,
    'default_hooks.checkpoint.interval': 1,
}

factors = dict(
    method={
        'simclr': dict(config='../simclr/simclr_vit-mini_patterns-lt.py', options=_rate),
        'vicreg': dict(config='../vicreg/vicreg_vit-mini_patterns-lt.py', options=_rate),
        'swav': dict(config='../swav/swav_vit-mini_patterns-lt.py', options=_rate),
        'msn': dict(config='../msn/msn_vit-mini_patterns-lt.py', options=_rate),
        'pmsn': dict(config='../pmsn/pmsn_vit-mini_patterns-lt.py', options=_rate),
        'mae': dict(
            config='../mae/mae_vit-mini_patterns-lt.py',
            options={
                **_rate,
                'train_cfg.max_epochs': 40,
                'train_cfg.val_interval': 40,
            },
        ),
        'data2vec': dict(
            config='../data2vec/data2vec_vit-mini_patterns-lt.py',
            options={
                **_rate,
                'train_cfg.max_epochs': 20,
                'train_cfg.val_interval': 20,
            },
        ),
        'untrained': dict(config='../simclr/simclr_vit-mini_patterns-lt.py', options=_none),
        'untrained patches': dict(config='../mae/mae_vit-mini_patterns-lt.py', options=_none),
    },
)
