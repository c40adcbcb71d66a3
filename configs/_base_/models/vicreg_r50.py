# VICReg with ResNet-50: expander 8192-8192-8192, variances and covariances of the global batch.
norm_cfg = dict(type='PortableSyncBatchNorm')
model = dict(
    type='VICReg',
    data_preprocessor=dict(
        type='MultiViewDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(type='ResNet', depth=50, norm_cfg=norm_cfg, zero_init_residual=True),
    # Linear, BN, ReLU twice, then Linear without bias.
    neck=dict(
        type='NonLinearNeck',
        in_channels=2048,
        hid_channels=8192,
        out_channels=8192,
        num_layers=3,
        with_bias=True,
        with_last_bn=False,
        with_last_bias=False,
        norm_cfg=norm_cfg,
    ),
    head=dict(
        type='EmbeddingHead',
        loss=dict(
            type='VICRegLoss', invariance_weight=25.0, variance_weight=25.0, covariance_weight=1.0
        ),
    ),
)
