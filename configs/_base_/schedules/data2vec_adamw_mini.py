# msn_adamw_mini.py, with the relative position bias ten times as fast: it starts at 0, and in a
# thousand steps of AdamW at 2e-3 hardly gets where attention tells positions apart.
_base_ = ['./msn_adamw_mini.py']

optim_wrapper = dict(
    constructor='DefaultOptimWrapperConstructor',
    paramwise_cfg=dict(
        bias_decay_mult=0.0,
        norm_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys=dict(relative_position_bias_table=dict(lr_mult=10.0, decay_mult=0.0)),
    ),
)
train_cfg = dict(max_epochs=20)
