import torch
from mmengine import dist
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import UserError
from ...functional import all_reduce_sum

__all__ = ['PortableSyncBatchNorm']


@MODELS.register_module()
class PortableSyncBatchNorm(_BatchNorm):
    r"""Batch normalisation over all ranks that runs on any device.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    with mean and variance over the batch of all ranks (global), whose sizes
    may differ, in float32 or better. Sums and counts are reduced by
    collectives that carry the true gradient. torch's SyncBatchNorm refuses
    CPU tensors, and DistributedDataParallel refuses it on CPU; on CUDA its
    fused kernels are used (``native_on_cuda``), which compute the same with
    one collective forward and one backward. State keys and arguments are those of
    ``torch.nn.BatchNorm1d/2d``; in one process it is that to the bit.
    """

    #: Whether CUDA tensors take the kernels of torch's SyncBatchNorm.
    native_on_cuda = True
    #: What SyncBatchNorm reads of its module, beside what this one has: the default group.
    process_group = None

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2 or x.shape[1] != self.num_features:
            raise UserError(
                f'expected a batch with {self.num_features} channels, got shape {tuple(x.shape)}'
            )

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or dist.get_world_size() == 1:
            if self.training and x.numel() == x.shape[1]:
                raise UserError(
                    'batch normalisation needs more than one image in a step: raise '
                    'train_dataloader.batch_size'
                )
            return super().forward(x)
        self._check_input_dim(x)
        if x.is_cuda and self.native_on_cuda:
            return nn.SyncBatchNorm.forward(self, x)  # type: ignore[arg-type]
        dims = [d for d in range(x.ndim) if d != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        sums = all_reduce_sum(
            torch.cat([values.sum(dims), values.new_full((1,), float(x[:, 0].numel()))])
        )
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = values - mean.view(shape)
        # Squares of centred values, not E[x^2] - mean^2, which cancels in float32.
        var = all_reduce_sum(centred.square().sum(dims)) / count
        if self.track_running_stats:
            self._update_running_stats(mean.detach(), var.detach() * count / (count - 1))
        y = centred * (var + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    def _check_non_zero_input_channels(self, x: Tensor) -> None:
        """Called by SyncBatchNorm; :meth:`_check_input_dim` has done so."""

    @torch.no_grad()
    def _update_running_stats(self, mean: Tensor, unbiased_var: Tensor) -> None:
        assert self.num_batches_tracked is not None and self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_(unbiased_var.to(self.running_var), momentum)
