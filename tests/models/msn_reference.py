"""Masked Siamese Networks in plain PyTorch, written from the formulas, for tests alone.

Nothing here uses the package: probabilities instead of log space, loops
instead of collectives. In double precision both must agree.
"""

import torch
from torch.nn import functional as F


def predictions(z, prototypes, temperature):
    logits = F.normalize(z, dim=-1) @ F.normalize(prototypes, dim=-1).T / temperature
    exp = torch.exp(logits)
    return exp / exp.sum(-1, keepdim=True)


def balanced_targets(z, prototypes, temperature, sharpening, marginal, iterations=3):
    p = predictions(z.detach(), prototypes.detach(), temperature) ** (1 / sharpening)
    q = p / p.sum(1, keepdim=True)
    for _ in range(iterations if marginal is not None else 0):
        q = q / q.sum(0) * marginal * len(q)
        q = q / q.sum(1, keepdim=True)
    return q


def msn_loss(
    anchors,
    target,
    prototypes,
    temperature=0.1,
    sharpening=0.25,
    marginal=None,
    prior=None,
    weight=1.0,
):
    """Cross-entropy plus log K - H(p_bar), or for a prior KL(p_bar || prior)."""
    q = balanced_targets(target, prototypes, temperature, sharpening, marginal)
    p = torch.cat([predictions(z, prototypes, temperature) for z in anchors])
    cross_entropy = -(q.repeat(len(anchors), 1) * p.log()).sum(1).mean()
    p_bar = p.mean(0)
    if prior is None:
        regulariser = (
            torch.log(torch.tensor(float(len(prototypes)), dtype=p.dtype))
            + (p_bar * p_bar.log()).sum()
        )
    else:
        regulariser = (p_bar * (p_bar / prior).log()).sum()
    return cross_entropy, weight * regulariser


def vision_transformer(w, x, patch_size, num_heads, grid, keep=None):
    """Class token of a plain pre-norm ViT; w holds MMPretrain's names, grid is the trained one."""
    width = w['cls_token'].shape[-1]
    tokens = F.conv2d(
        x, w['patch_embed.projection.weight'], w['patch_embed.projection.bias'], stride=patch_size
    )
    rows, columns = tokens.shape[-2:]
    tokens = tokens.flatten(2).transpose(1, 2)
    pos_cls, pos = w['pos_embed'][:, :1], w['pos_embed'][:, 1:]
    if (rows, columns) != grid:
        # MMPretrain resamples in float32 whatever the model's precision.
        pos = pos.reshape(1, *grid, width).permute(0, 3, 1, 2).float()
        pos = F.interpolate(pos, size=(rows, columns), mode='bicubic', align_corners=False)
        pos = pos.flatten(2).transpose(1, 2).to(tokens.dtype)
    tokens = tokens + pos
    if keep is not None:
        tokens = torch.stack([t[k] for t, k in zip(tokens, keep.expand(len(tokens), -1))])
    cls = (w['cls_token'] + pos_cls).expand(len(x), -1, -1)
    tokens = torch.cat([cls, tokens], 1)

    def norm(t, name):
        return F.layer_norm(t, (width,), w[f'{name}.weight'], w[f'{name}.bias'], eps=1e-6)

    for i in range(sum(name.endswith('attn.proj.weight') for name in w)):
        at = f'layers.{i}'
        qkv = F.linear(
            norm(tokens, f'{at}.ln1'), w[f'{at}.attn.qkv.weight'], w[f'{at}.attn.qkv.bias']
        )
        heads = []
        for h in range(num_heads):
            size = width // num_heads
            q, k, v = (
                qkv[..., j * width + h * size : j * width + (h + 1) * size] for j in range(3)
            )
            heads.append(torch.softmax(q @ k.transpose(1, 2) / size**0.5, -1) @ v)
        tokens = tokens + F.linear(
            torch.cat(heads, -1), w[f'{at}.attn.proj.weight'], w[f'{at}.attn.proj.bias']
        )
        hidden = F.linear(
            norm(tokens, f'{at}.ln2'),
            w[f'{at}.ffn.layers.0.0.weight'],
            w[f'{at}.ffn.layers.0.0.bias'],
        )
        tokens = tokens + F.linear(
            F.gelu(hidden), w[f'{at}.ffn.layers.1.weight'], w[f'{at}.ffn.layers.1.bias']
        )
    return norm(tokens, 'ln1')[:, 0]


def projection(w, x):
    """Linear, BN, GELU twice and a linear layer; updates the running statistics in w."""
    for i in (1, 2):
        x = F.linear(x, w[f'fc{i}.weight'], w[f'fc{i}.bias'])
        mean, var = x.mean(0), x.var(0, unbiased=False)
        with torch.no_grad():
            w[f'bn{i}.running_mean'] = 0.9 * w[f'bn{i}.running_mean'] + 0.1 * mean
            w[f'bn{i}.running_var'] = 0.9 * w[f'bn{i}.running_var'] + 0.1 * x.var(0)
        x = F.gelu((x - mean) / (var + 1e-5).sqrt() * w[f'bn{i}.weight'] + w[f'bn{i}.bias'])
    return F.linear(x, w['fc3.weight'], w['fc3.bias'])
