# Places205: 14 epochs, a tenth of the learning rate at 4, 8 and 12.
_base_ = ['./common.py']

num_classes = 205
train_dataloader = dict(
    dataset=dict(type='Places205CSV', data_root='data/places205', split='train')
)
val_dataloader = dict(
    dataset=dict(type='Places205CSV', data_root='data/places205', split='val', test_mode=True)
)
test_dataloader = val_dataloader
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[4, 8, 12], gamma=0.1)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=14, val_interval=4)
