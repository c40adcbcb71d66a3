"""Linear probe on your own labelled images of the ViT-S/16 of pmsn_vit-s16_folder.py.

    DATA_ROOT=path/to/data NUM_CLASSES=12 CHECKPOINT=path/to/epoch_100.pth \\
        python tools/train.py configs/pmsn/benchmarks/vit-s16_linear_folder.py

The folder has train/<class>/ and val/<class>/ with the images of each class,
the same class folders in both (one in val may be empty); NUM_CLASSES is their
number. Both are checked before training. Encoder, head and schedule are those
of vit-s16_8xb128-linear-coslr-100e_in1k.py; learning rate 6.4 x 128 / 8192 =
0.1 for one process of batch 128 (fewer images than that: --cfg-options
train_dataloader.batch_size=N, and the learning rate alike). Classes of
MMPretrain alone.

Result: not yet run.
"""

_base_ = ['./vit-s16_8xb128-linear-coslr-100e_in1k.py']

data_root = '{{$DATA_ROOT:data/labelled}}'
num_classes = int('{{$NUM_CLASSES:1000}}')
checkpoint = '{{$CHECKPOINT:work_dirs/pmsn_vit-s16_folder/epoch_800.pth}}'

# MMPretrain's own list lacks .tiff and .webp.
extensions = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
train_dataset = dict(
    _delete_=True,
    type='CustomDataset',
    data_root=data_root,
    data_prefix='train',
    extensions=extensions,
    pipeline={{_base_.train_pipeline}},
)
val_dataset = dict(
    _delete_=True,
    type='CustomDataset',
    data_root=data_root,
    data_prefix='val',
    extensions=extensions,
    pipeline={{_base_.test_pipeline}},
)
train_dataloader = dict(num_workers=8, dataset=train_dataset)
val_dataloader = dict(num_workers=8, dataset=val_dataset)
test_dataloader = val_dataloader
# Two classes have no five best.
topk = (1, 5) if num_classes >= 5 else (1,)
val_evaluator = dict(type='Accuracy', topk=topk)
test_evaluator = val_evaluator

data_preprocessor = dict(num_classes=num_classes)
model = dict(
    backbone=dict(init_cfg=dict(checkpoint=checkpoint)),
    head=dict(num_classes=num_classes),
)
optim_wrapper = dict(optimizer=dict(lr=0.1))
