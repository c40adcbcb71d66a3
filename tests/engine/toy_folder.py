"""A model with a target network and a prior's prototypes, of a second, for tests of training."""

import copy
import itertools
import random

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

NAMES = (f'toy-folder-{count}' for count in itertools.count())


class Numbers(Dataset):
    """Vectors; reading one draws from the global generators, as stock transforms do."""

    metainfo: dict = {}

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        noise = np.random.rand() + random.random() + float(torch.rand(()))
        return dict(inputs=torch.full((4,), float(index) / self.length) + 0.01 * noise)


class ToyMSN(BaseModel):
    """Batch norm, dropout, a lazy counter and a target network: all that a step leaves behind."""

    def __init__(self, num_prototypes=3):
        super().__init__()
        self.line = nn.Linear(4, 4)
        self.bn = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, num_prototypes)
        self.head.num_prototypes = num_prototypes
        self.target = copy.deepcopy(self.line).requires_grad_(False)
        self.calls, self.momenta, self.step = 0, [], None

    def sync_target(self):
        self.target.load_state_dict(self.line.state_dict())

    def set_step(self, seed, iteration):
        self.step = (seed, iteration)

    def update_target(self, momentum):
        self.momenta.append(momentum)
        for target, online in zip(self.target.parameters(), self.line.parameters()):
            target.data.lerp_(online.data, 1 - momentum)

    def forward(self, inputs, mode='tensor'):
        self.calls += 1
        assert mode == 'loss' and self.training and self.step is not None
        out = self.head(self.drop(self.bn(self.line(inputs)))) + 0.1 * torch.rand(())
        return dict(loss=out.square().mean() + self.calls)


def runner_config(work_dir, length, batch_size=2, **kwargs):
    """Arguments of a Runner; ``kwargs`` replace some."""
    return {
        **dict(
            model=ToyMSN(),
            work_dir=str(work_dir),
            train_dataloader=dict(
                dataset=Numbers(length),
                sampler=dict(type='EpochSampler', shuffle=True),
                batch_size=batch_size,
                num_workers=0,
                drop_last=True,
                collate_fn=dict(type='default_collate'),
            ),
            train_cfg=dict(type='StepBudgetTrainLoop', steps=12, epochs=(2, 5)),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.04)),
            default_scope='mmpretrain',
            randomness=dict(seed=0),
            experiment_name=next(NAMES),
        ),
        **kwargs,
    }
