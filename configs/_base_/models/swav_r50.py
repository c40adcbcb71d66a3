# SwAV with ResNet-50: projector 2048-2048-128, 3000 prototypes, assignments balanced to a uniform
# prior over all ranks, no queue.
norm_cfg = dict(type='PortableSyncBatchNorm')
model = dict(
    type='PriorSwAV',
    data_preprocessor=dict(
        type='MultiViewDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(type='ResNet', depth=50, norm_cfg=norm_cfg, zero_init_residual=False),
    neck=dict(
        type='SwAVNeck', in_channels=2048, hid_channels=2048, out_channels=128, norm_cfg=norm_cfg
    ),
    head=dict(
        type='PriorSwAVHead',
        num_prototypes=3000,
        embed_dim=128,
        prior=dict(type='UniformPrior'),
        temperature=0.1,
        epsilon=0.05,
        sinkhorn=dict(type='Sinkhorn', marginal='prior', iterations=3),
        assigned_views=2,
    ),
    queue_length=0,
)
custom_hooks = [dict(type='SwAVScheduleHook', frozen_iters=313, queue_start_epoch=15)]
