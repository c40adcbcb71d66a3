"""A model and data small enough to check by hand, in MMEngine's interfaces."""

import torch
from mmengine.dataset import DefaultSampler, default_collate
from mmengine.model import BaseModel
from mmpretrain.registry import DATASETS, MODELS
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

NUM_CLASSES = 3


@DATASETS.register_module()
class ToyImages(Dataset):
    """Images of shape (3, 4, 4) around class means, always the same for a seed."""

    metainfo: dict = {}

    def __init__(self, size=20, seed=0, labelled=True, views=1, indexed=True, noise=1.0):
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(NUM_CLASSES, (size,), generator=generator)
        means = torch.randn(NUM_CLASSES, 3, 1, 1, generator=torch.Generator().manual_seed(99))
        self.images = means[self.labels] + noise * torch.randn(size, 3, 4, 4, generator=generator)
        self.labelled, self.views, self.indexed = labelled, views, indexed

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        sample = DataSample()
        if self.indexed:
            sample.set_field(index, 'sample_idx', field_type='metainfo')
        if self.labelled:
            sample.set_gt_label(int(self.labels[index]))
        image = self.images[index]
        inputs = image if self.views == 1 else [image] * self.views
        return dict(inputs=inputs, data_samples=sample)


@MODELS.register_module()
class ToyFeatures(BaseModel):
    """Batch norm, then a fixed non-linear map that treats each sample and channel alone.

    Nothing depends on the composition of a batch in eval mode, so results of
    different batchings can be compared bit by bit.
    """

    def __init__(self, out='map'):
        super().__init__(data_preprocessor=dict(type='mmpretrain.SelfSupDataPreprocessor'))
        self.bn = nn.BatchNorm2d(3)
        self.frozen = nn.Sequential(nn.Dropout(0.5))
        self.out = out
        with torch.no_grad():
            self.bn.weight.copy_(torch.tensor([1.0, 0.5, 2.0]))
            self.bn.running_mean.copy_(torch.tensor([0.1, -0.2, 0.3]))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        out = self.frozen(self.bn(inputs))
        if mode == 'loss':
            return dict(loss=(out - 1).square().mean())
        return {'map': out, 'tuple': (None, out.mean((2, 3))), 'tokens': out.flatten(2)}[self.out]


def reference_features(model, dataset):
    """Features by a plain loop over samples, with the formula of eval-mode batch norm."""
    bn, rows = model.bn, []
    for index in range(len(dataset)):
        x = dataset.images[index].double()
        scale = bn.weight.double() / (bn.running_var.double() + bn.eps).sqrt()
        out = (x - bn.running_mean.double()[:, None, None]) * scale[:, None, None]
        rows.append((out + bn.bias.double()[:, None, None]).mean((1, 2)))
    return torch.stack(rows).detach().float()


def reference_knn(queries, bank, bank_labels, k, temperature):
    """Weighted k-NN by plain loops in double precision; of equals the lower index, then label."""
    predictions = []
    for query in queries.double():
        similarity = [float(F.cosine_similarity(query, row, 0)) for row in bank.double()]
        nearest = sorted(range(len(bank)), key=lambda j: (-similarity[j], j))[:k]
        votes = {}
        for j in nearest:
            label = int(bank_labels[j])
            weight = torch.tensor(similarity[j] / temperature, dtype=torch.float64).exp()
            votes[label] = votes.get(label, 0.0) + float(weight)
        predictions.append(min(votes, key=lambda label: (-votes[label], label)))
    return torch.tensor(predictions)


def loader(dataset, batch_size=4, shuffle=False, round_up=True, collate=default_collate, **kwargs):
    sampler = DefaultSampler(dataset, shuffle=shuffle, seed=0, round_up=round_up)
    return DataLoader(dataset, batch_size=batch_size, sampler=sampler, collate_fn=collate, **kwargs)
