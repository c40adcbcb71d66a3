# The MSN release's schedules for 800 epochs, with the same 15 epochs of warm-up.
_base_ = ['./msn_adamw_300e.py']
epochs = 800
warmup_epochs = 15

param_scheduler = [
    _base_.param_scheduler[0],
    dict(
        _base_.param_scheduler[1],
        T_max=1.25 * epochs - warmup_epochs,
        begin=warmup_epochs,
        end=epochs,
    ),
    dict(_base_.param_scheduler[2], T_max=1.25 * epochs, end=epochs),
]
train_cfg = dict(max_epochs=epochs, val_interval=100)
