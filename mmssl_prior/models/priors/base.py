from abc import ABC, abstractmethod

from torch import Tensor

from ...functional import validate_prior

__all__ = ['Prior']


class Prior(ABC):
    """A distribution over prototypes that a config names.

    To add one, subclass, implement :meth:`probabilities` and register the
    class in ``mmpretrain.registry.TASK_UTILS``; heads call the object with
    the number of prototypes and get a checked distribution.
    """

    @abstractmethod
    def probabilities(self, num_prototypes: int) -> Tensor:
        """Positive weights of shape (num_prototypes,); prototype k has rank k in the prior."""

    def __call__(self, num_prototypes: int) -> Tensor:
        """The prior as float64 probabilities of shape (num_prototypes,) that sum to one."""
        return validate_prior(self.probabilities(num_prototypes), num_prototypes)

    def __repr__(self) -> str:
        args = ', '.join(f'{k}={v!r}' for k, v in vars(self).items())
        return f'{type(self).__name__}({args})'
