# CIFAR-100: 28 epochs, a tenth of the learning rate at 8, 16 and 24.
_base_ = ['./common.py']

num_classes = 100
train_dataloader = dict(
    dataset=dict(type='CIFAR100Archive', data_root='data/cifar100', split='train')
)
val_dataloader = dict(
    dataset=dict(type='CIFAR100Archive', data_root='data/cifar100', split='test', test_mode=True)
)
test_dataloader = val_dataloader
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[8, 16, 24], gamma=0.1)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=28, val_interval=4)
