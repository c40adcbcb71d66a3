import torch
from mmengine import dist
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...functional import all_reduce_sum

__all__ = ['PortableSyncBatchNorm']


@MODELS.register_module(name='PortableSyncBN')
class PortableSyncBatchNorm(nn.SyncBatchNorm):
    r"""Batch normalisation over all ranks, on devices torch's SyncBatchNorm refuses too.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    with mean and variance over the batch of all ranks (global), whose sizes
    may differ. On CUDA it is ``torch.nn.SyncBatchNorm``; elsewhere sums and
    counts are reduced by collectives that carry the true gradient. State keys
    and arguments are those of ``torch.nn.BatchNorm1d/2d``.
    """

    _abbr_ = 'bn'  # the layer name mmcv's builder derives, as for the stock norms

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:
            return super().forward(x)
        batch_stats = self.training or self.running_mean is None
        if not (batch_stats and self.training and dist.get_world_size() > 1):
            return _BatchNorm.forward(self, x)
        if x.shape[1] != self.num_features:
            raise ValueError(f'expected {self.num_features} channels, got shape {tuple(x.shape)}')
        dims = [d for d in range(x.ndim) if d != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = x.new_tensor([x.numel() / x.shape[1]])
        sums = all_reduce_sum(torch.cat([x.sum(dims), count]))
        mean, count = sums[:-1] / sums[-1], sums[-1].detach()
        centred = x - mean.view(shape)
        # Squares of centred values, not E[x^2] - mean^2, which cancels in float32.
        var = all_reduce_sum(centred.square().sum(dims)) / count
        if self.track_running_stats:
            self._update_running_stats(mean.detach(), var.detach() * count / (count - 1))
        y = centred * (var + self.eps).rsqrt().view(shape)
        return y * self.weight.view(shape) + self.bias.view(shape) if self.affine else y

    @torch.no_grad()
    def _update_running_stats(self, mean: Tensor, unbiased_var: Tensor) -> None:
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(unbiased_var, momentum)
