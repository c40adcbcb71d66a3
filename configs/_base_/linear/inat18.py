# iNaturalist 2018: 84 epochs, a tenth of the learning rate at 24, 48 and 72.
_base_ = ['./common.py']

num_classes = 8142
train_dataloader = dict(
    dataset=dict(type='INaturalist2018', data_root='data/inaturalist2018', split='train')
)
val_dataloader = dict(
    dataset=dict(
        type='INaturalist2018', data_root='data/inaturalist2018', split='val', test_mode=True
    )
)
test_dataloader = val_dataloader
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[24, 48, 72], gamma=0.1)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=84, val_interval=4)
