# The methods of the studies, at the learning rates that studies/tuning.py found.
factors = dict(
    method=dict(
        simclr=dict(config='../simclr/simclr_vit-mini_patterns-lt.py'),
        vicreg=dict(config='../vicreg/vicreg_vit-mini_patterns-lt.py'),
        swav=dict(config='../swav/swav_vit-mini_patterns-lt.py'),
        msn=dict(config='../msn/msn_vit-mini_patterns-lt.py'),
        pmsn=dict(config='../pmsn/pmsn_vit-mini_patterns-lt.py'),
        mae=dict(config='../mae/mae_vit-mini_patterns-lt.py'),
        data2vec=dict(config='../data2vec/data2vec_vit-mini_patterns-lt.py'),
    ),
)
