"""PMSN, timm's ConvNeXt-T, ImageNet-1K.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023).

On two machines of eight GPUs (NODE_RANK is 0 on the first, 1 on the second):

    NNODES=2 NODE_RANK=0 MASTER_ADDR=<first machine> \\
        bash tools/dist_train.sh configs/pmsn/pmsn_timm-convnext-t_in1k.py 8

pmsn_vit-s16_in1k.py with a convolutional encoder of timm, so without patch
dropping; model_name may be any of timm's models that takes crops of 224 and
96 px (neck.in_channels is its width). Its last map, normalised, is averaged
over positions; of a model that returns channels last (Swin, MambaOut) by
pool=dict(type='TokenPool', mode='avg', num_prefix_tokens=0). No recipe for a
convolutional network is known of MSN or of the paper, and nothing was tuned.

Result: not yet run at full size.
"""

_base_ = ['./pmsn_vit-s16_in1k.py']

model = dict(
    patch_drop=0.0,
    backbone=dict(_delete_=True, type='TIMMBackbone', model_name='convnext_tiny'),
    neck=dict(in_channels=768),
)
