from .warmup_cosine_param_scheduler import WarmupCosineParamScheduler, warmup_cosine

__all__ = ['WarmupCosineParamScheduler', 'warmup_cosine']
