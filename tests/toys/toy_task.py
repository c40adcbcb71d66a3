"""A task of one second for the command line tests: fit a line to numbers made on the spot."""

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmpretrain.registry import DATASETS, HOOKS, METRICS, MODELS
from torch import nn
from torch.utils.data import Dataset


@MODELS.register_module()
class ToyModel(BaseModel):
    def __init__(self, width=4, **kwargs):
        super().__init__(**kwargs)
        if width < 1:
            raise ValueError(f'width must be positive, got {width}')
        self.line = nn.Linear(width, 1)

    def forward(self, inputs, mode='tensor'):
        if mode == 'predict':
            return [dict(score=score) for score in self.line(inputs).flatten().tolist()]
        return {'loss': self.line(inputs).square().mean()}


@DATASETS.register_module()
class ToyData(Dataset):
    def __init__(self, length=8, width=4, broken=False, missing=''):
        self.length, self.width, self.broken, self.missing = length, width, broken, missing

    def full_init(self):
        if self.missing:
            open(self.missing)

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if self.broken:
            raise ZeroDivisionError('a bug in the data set')
        return {'inputs': torch.full((self.width,), float(index))}


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Mean and number of the predictions, of each sample once."""

    def process(self, data_batch, data_samples):
        self.results += [sample['score'] for sample in data_samples]

    def compute_metrics(self, results):
        return dict(mean=sum(results) / len(results), count=len(results))


@HOOKS.register_module()
class WriteRank(Hook):
    """Leaves a file per rank, with the weights after training."""

    def __init__(self, folder):
        self.folder = folder

    def after_train(self, runner):
        state = {key: value.tolist() for key, value in runner.model.state_dict().items()}
        name = f'{self.folder}/rank{get_rank()}of{get_world_size()}.txt'
        with open(name, 'w') as file:
            file.write(str(sorted((key.replace('module.', ''), v) for key, v in state.items())))


@HOOKS.register_module()
class Interrupt(Hook):
    """Presses Ctrl-C after an iteration."""

    def __init__(self, after):
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 >= self.after:
            raise KeyboardInterrupt


@HOOKS.register_module()
class Fail(Hook):
    """A bug on one rank, after an iteration; the others go on to their next collective."""

    def __init__(self, rank, after=1):
        self.rank, self.after = rank, after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 >= self.after and get_rank() == self.rank:
            raise ZeroDivisionError('a bug on one rank')
