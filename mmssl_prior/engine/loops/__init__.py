from .knn_val_loop import KNNValLoop
from .step_budget_train_loop import StepBudgetTrainLoop, check_batches, epochs_for_steps

__all__ = ['KNNValLoop', 'StepBudgetTrainLoop', 'check_batches', 'epochs_for_steps']
