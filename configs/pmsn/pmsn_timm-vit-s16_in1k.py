"""PMSN, timm's ViT-S/16, ImageNet-1K.

Paper: The Hidden Uniform Cluster Prior in Self-Supervised Learning (ICLR 2023).

On two machines of eight GPUs (NODE_RANK is 0 on the first, 1 on the second):

    NNODES=2 NODE_RANK=0 MASTER_ADDR=<first machine> \\
        bash tools/dist_train.sh configs/pmsn/pmsn_timm-vit-s16_in1k.py 8

pmsn_vit-s16_in1k.py with the encoder of timm; model_name may be any of timm's
vision transformers (neck.in_channels is its width, pool.num_prefix_tokens its
class token and registers). timm initialises it: not as the MSN release does,
the class token starts near zero and the patch embedding as torch leaves it.

The keys target_backbone.* of the checkpoint load in MMPretrain's TIMMBackbone.

Result: not yet run at full size.
"""

_base_ = ['./pmsn_vit-s16_in1k.py']

model = dict(
    backbone=dict(_delete_=True, type='TIMMViT', model_name='vit_small_patch16_224'),
    # TIMMBackbone, and so TIMMViT, returns all tokens.
    pool=dict(type='TokenPool', mode='token', num_prefix_tokens=1),
)
