"""Small networks of other libraries with weights that tell every key from every other."""

import timm
import torch
from torch import nn

WIDTH, DEPTH, HEADS, HIDDEN = 48, 2, 4, 96
SIZES = dict(embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, mlp_ratio=HIDDEN / WIDTH)


@torch.no_grad()
def distinct(model, seed=0):
    """All weights random: LayerNorms, biases and statistics as libraries make them are alike."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith('running_var'):
            value.copy_(1 + 0.3 * noise.abs())
        elif value.ndim > 1 and not ('pos' in name or 'cls' in name):
            value.copy_(noise * (0.7 / value[0].numel() ** 0.5))
        else:
            norm = 'norm' in name or 'bn' in name or 'ln' in name.split('.')[-2:][0]
            value.copy_(0.3 * noise + float(norm and name.endswith('weight')))
    # MMPretrain's backbones return nothing from eval().
    model.eval()
    return model.requires_grad_(False)


def timm_vit(seed=0, **kwargs):
    name = kwargs.pop('name', 'vit_tiny_patch16_224')
    return distinct(timm.create_model(name, **{**SIZES, 'num_classes': 0, **kwargs}), seed)


class Projection(nn.Sequential):
    """The head of the MSN release by its names."""

    def __init__(self, width=WIDTH, hidden=64, out=32):
        super().__init__()
        for name, module in dict(
            fc1=nn.Linear(width, hidden),
            bn1=nn.BatchNorm1d(hidden),
            gelu1=nn.GELU(),
            fc2=nn.Linear(hidden, hidden),
            bn2=nn.BatchNorm1d(hidden),
            gelu2=nn.GELU(),
            fc3=nn.Linear(hidden, out),
        ).items():
            self.add_module(name, module)


class Released(nn.Module):
    """A network as the MSN release has it: a ViT of timm's names with ``fc`` behind it."""

    def __init__(self, seed=0, projection=None, **vit):
        super().__init__()
        self.vit = timm_vit(seed, **vit)
        self.fc = distinct(Projection(self.vit.embed_dim, *(projection or ())), seed + 1)

    def forward(self, images):
        return self.fc(self.vit.forward_features(images)[:, 0])

    def released_state(self):
        state = {f'module.{name}': value for name, value in self.vit.state_dict().items()}
        return state | {f'module.fc.{n}': v for n, v in self.fc.state_dict().items()}


def released_file(path, both=False, prototypes=12, **vit):
    """A file in the layout of the MSN release, its networks and its prototypes."""
    networks = dict(target_encoder=Released(0, **vit))
    if both:
        networks['encoder'] = Released(5, **vit)
    width = networks['target_encoder'].fc.fc3.out_features
    table = torch.randn(prototypes, width, generator=torch.Generator().manual_seed(3))
    more = dict(opt={'state': {}, 'param_groups': []}, loss=6.1, batch_size=64, world_size=16)
    more |= dict(lr=1e-3, temperature=0.25, epoch=800)
    states = {key: network.released_state() for key, network in networks.items()}
    torch.save({**states, 'prototypes': table, **more}, path)
    return networks, table


def images(size=224, batch=2):
    height, width = (size, size) if isinstance(size, int) else size
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def close(actual, expected):
    """Equal features: 1e-5 in float32."""
    assert expected.std() > 0.1, 'features that differ from zero and from each other'
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)
