# CLEVR/Dist: 100 epochs of a cosine from 0.01 to 1e-4, by epoch.
_base_ = ['./common.py']

num_classes = 6
train_dataloader = dict(dataset=dict(type='ClevrDist', data_root='data/CLEVR_v1.0', split='train'))
val_dataloader = dict(
    dataset=dict(type='ClevrDist', data_root='data/CLEVR_v1.0', split='val', test_mode=True)
)
test_dataloader = val_dataloader
# As a ratio, for heads with rates of their own.
param_scheduler = [
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=100, T_max=100, eta_min_ratio=0.01)
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100, val_interval=4)
