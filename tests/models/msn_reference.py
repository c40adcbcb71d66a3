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
    p = predictions(z.detach(), prototypes.detach(), temperature)**(1 / sharpening)
    q = p / p.sum(1, keepdim=True)
    for _ in range(iterations if marginal is not None else 0):
        q = q / q.sum(0) * marginal * len(q)
        q = q / q.sum(1, keepdim=True)
    return q


def msn_loss(anchors, target, prototypes, temperature=0.1, sharpening=0.25, marginal=None,
             prior=None, weight=1.):
    """Cross-entropy plus log K - H(p_bar), or for a prior KL(p_bar || prior)."""
    q = balanced_targets(target, prototypes, temperature, sharpening, marginal)
    p = torch.cat([predictions(z, prototypes, temperature) for z in anchors])
    cross_entropy = -(q.repeat(len(anchors), 1) * p.log()).sum(1).mean()
    p_bar = p.mean(0)
    if prior is None:
        regulariser = torch.log(torch.tensor(float(len(prototypes)), dtype=p.dtype)) \
            + (p_bar * p_bar.log()).sum()
    else:
        regulariser = (p_bar * (p_bar / prior).log()).sum()
    return cross_entropy, weight * regulariser
