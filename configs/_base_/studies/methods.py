# The methods of the studies, at the learning rates that studies/tuning.py found and, where an epoch
# costs less, over as many more. PMSN has MSN's rate.
_rate = {'optim_wrapper.optimizer.lr': 4e-3}

factors = dict(
    method=dict(
        simclr=dict(config='../simclr/simclr_vit-mini_patterns-lt.py', options=_rate),
        vicreg=dict(config='../vicreg/vicreg_vit-mini_patterns-lt.py', options=_rate),
        swav=dict(config='../swav/swav_vit-mini_patterns-lt.py', options=_rate),
        msn=dict(config='../msn/msn_vit-mini_patterns-lt.py', options=_rate),
        pmsn=dict(config='../pmsn/pmsn_vit-mini_patterns-lt.py', options=_rate),
        mae=dict(
            config='../mae/mae_vit-mini_patterns-lt.py',
            options={
                'optim_wrapper.optimizer.lr': 4e-3,
                'train_cfg.max_epochs': 40,
                'train_cfg.val_interval': 40,
            },
        ),
        data2vec=dict(
            config='../data2vec/data2vec_vit-mini_patterns-lt.py',
            options={
                'optim_wrapper.optimizer.lr': 4e-3,
                'train_cfg.max_epochs': 20,
                'train_cfg.val_interval': 20,
            },
        ),
    ),
)
