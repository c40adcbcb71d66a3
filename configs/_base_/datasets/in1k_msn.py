# ImageNet-1K as data/imagenet/{train,val}/<wnid>/*.JPEG, with the views of the MSN release.
_base_ = ['./inat18_msn.py']
data_root = 'data/imagenet'

train_dataloader = dict(dataset=dict(type='ImageNet1K', data_root=data_root))
val_dataloader = dict(dataset=dict(type='ImageNet1K', data_root=data_root))
val_cfg = dict(bank_dataloader=dict(dataset=dict(type='ImageNet1K', data_root=data_root)))
