# SimCLR with ResNet-50: projector 2048-2048-128 with batch normalisation over all ranks after both
# layers, NT-Xent over the global batch at temperature 0.1.
norm_cfg = dict(type='PortableSyncBatchNorm')
model = dict(
    type='GlobalSimCLR',
    data_preprocessor=dict(
        type='MultiViewDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(type='ResNet', depth=50, norm_cfg=norm_cfg, zero_init_residual=True),
    neck=dict(
        type='NonLinearNeck',
        in_channels=2048,
        hid_channels=2048,
        out_channels=128,
        num_layers=2,
        norm_cfg=norm_cfg,
    ),
    head=dict(type='EmbeddingHead', loss=dict(type='NTXentLoss', temperature=0.1)),
)
