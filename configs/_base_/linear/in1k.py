# ImageNet-1K: 28 epochs, a tenth of the learning rate at 8, 16 and 24.
_base_ = ['./common.py']

num_classes = 1000
train_dataloader = dict(dataset=dict(type='ImageNet1K', data_root='data/imagenet', split='train'))
val_dataloader = dict(
    dataset=dict(type='ImageNet1K', data_root='data/imagenet', split='val', test_mode=True)
)
test_dataloader = val_dataloader
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[8, 16, 24], gamma=0.1)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=28, val_interval=4)
