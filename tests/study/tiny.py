"""A study of seconds: PMSN on sixteen digits, two iterations, k-NN."""

from tests.smoke import ROOT

__all__ = ['CONFIG', 'STUDY', 'write_study']

CONFIG = f"""
_base_ = ['{ROOT}/configs/pmsn/pmsn_vit-mini_digits-lt.py']
model = dict(head=dict(num_prototypes=8))
train_dataloader = dict(
    batch_size=8, num_workers=0, persistent_workers=False, dataset=dict(num_images=16)
)
train_cfg = dict(max_epochs=1, val_interval=1000)
"""

STUDY = """
title = 'Priors'
question = 'Does the prior matter?'
factors = dict(
    method=dict(pmsn=dict(config='tiny.py')),
    prior=dict(
        own=dict(),
        steep=dict(options={'model.head.prior.exponent': 1.0}),
    ),
)
options = {'default_hooks.logger.interval': 1}
grids = [dict(name='priors', levels=dict(prior=['own', 'steep']), seeds=1)]
evaluation = dict(tasks=['digits'], measures=['knn'])
"""


def write_study(folder, text=STUDY, config=CONFIG, name='study.py'):
    """Write a study and its config; returns the study's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'tiny.py').write_text(config)
    (folder / name).write_text(text)
    return folder / name
