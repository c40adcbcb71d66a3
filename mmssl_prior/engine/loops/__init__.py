from .knn_val_loop import KNNValLoop
from .resumable_train_loop import ResumableTrainLoop
from .step_budget_train_loop import StepBudgetTrainLoop, check_batches, epochs_for_steps

__all__ = [
    'KNNValLoop',
    'ResumableTrainLoop',
    'StepBudgetTrainLoop',
    'check_batches',
    'epochs_for_steps',
]
