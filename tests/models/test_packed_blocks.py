"""Several sizes of views in one pass, class tokens alone, recomputed and compiled blocks."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from mmssl_prior.models import MSNViT
from mmssl_prior.models.backbones.packed_blocks import drop_path_scales
from tests.models.test_msn import build, total, views

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=24)


def network(**kwargs):
    torch.manual_seed(0)
    vit = MSNViT(**dict(dict(arch=ARCH, img_size=32, patch_size=8), **kwargs))
    vit.init_weights()
    with torch.no_grad():
        for param in vit.parameters():  # far from zero, so that every part counts
            param.add_(0.3 * torch.randn_like(param))
    vit.double().train()
    return vit


def batches():
    generator = torch.Generator().manual_seed(1)
    shapes = ((2, 32), (5, 16), (3, 32))
    return [torch.randn(b, 3, s, s, generator=generator, dtype=torch.double) for b, s in shapes]


def outputs_and_gradients(vit, keeps):
    """All outputs of all groups, and gradients of a weighted sum of them."""
    outs = [out for group in vit.forward_groups(batches(), keeps) for out in group]
    generator = torch.Generator().manual_seed(2)
    loss = sum(
        (out * torch.randn(out.shape, generator=generator, dtype=out.dtype)).sum() for out in outs
    )
    grads = torch.autograd.grad(loss, list(vit.parameters()))
    return outs, grads


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(),
        dict(with_cp=True),
        dict(layer_scale_init_value=0.5, out_indices=[0, -1]),
        dict(out_type='avg_featmap', with_cls_token=False),
        dict(out_type='raw', out_indices=[1, 2], pre_norm=True, qkv_bias=False),
        dict(final_norm=False),
    ],
    ids=str,
)
def test_one_pass_equals_a_pass_for_each_batch(kwargs):
    """In double precision, to 1e-12: outputs, and gradients of every parameter."""
    vit = network(**kwargs)
    keeps = [torch.tensor([0, 3, 15]), None, torch.tensor([[0, 1], [4, 9], [14, 15]])]
    outs, grads = outputs_and_gradients(vit, keeps)
    vit.blocks_as_modules, vit.with_cp = True, False
    expected, expected_grads = outputs_and_gradients(vit, keeps)
    for a, b in zip([*outs, *grads], [*expected, *expected_grads]):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_stochastic_depth_drops_samples_not_tokens(monkeypatch):
    vit = network(drop_path_rate=0.5)
    layer, rows, shapes = vit.layers[-1], torch.zeros(1), ((300, 2), (200, 3))
    torch.manual_seed(0)
    for scale in drop_path_scales(layer, rows, shapes):
        assert scale.shape == (1200, 1) and set(scale.unique().tolist()) == {0.0, 2.0}
        for part, (b, n) in zip(scale.split([600, 600]), shapes):
            by_sample = part.view(b, n)
            assert torch.equal(by_sample, by_sample[:, :1].expand(b, n))
        assert float(scale.mean()) == pytest.approx(1, abs=0.1)
    assert drop_path_scales(vit.layers[0], rows, shapes) == (None, None), 'its rate is 0'
    layer.eval()
    assert drop_path_scales(layer, rows, shapes) == (None, None)
    layer.train()
    # With everything kept the branches are scaled as mmcv's DropPath scales them.
    monkeypatch.setattr(
        torch,
        'rand',
        lambda shape, **k: torch.full(
            (shape,) if isinstance(shape, int) else shape, 0.9, dtype=k.get('dtype')
        ),
    )
    outs, _ = outputs_and_gradients(vit, [None] * 3)
    vit.blocks_as_modules = True
    expected, _ = outputs_and_gradients(vit, [None] * 3)
    for a, b in zip(outs, expected):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_evaluation_runs_the_modules():
    """Hooks on blocks are called, and features are the stock ones to the bit."""
    vit, seen = network(), []
    vit.eval()
    vit.layers[-1].register_forward_hook(lambda *_: seen.append(1))
    vit(batches()[0])
    assert seen == [1]


def test_packed_anchors_change_nothing_of_a_step():
    results = []
    for packed in (True, False):
        model = build(packed=packed).double()
        losses = model([view.double() for view in views()], mode='loss')
        grads = torch.autograd.grad(
            total(losses), [p for p in model.parameters() if p.requires_grad]
        )
        results.append([*losses.values(), *grads])
    for a, b in zip(*results):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_a_training_compiles_four_graphs_and_no_more():
    """Two for the target, two for the anchors, whatever the depth and number of steps."""
    counter, model = CompileCounterWithBackend('eager'), build()
    keys = list(model.state_dict())
    expected = model(views(), mode='loss')
    model.backbone.compile_blocks(backend=counter)
    model.target_backbone.compile_blocks(backend=counter)
    assert list(model.state_dict()) == keys
    for step in range(3):
        model.set_step(0, step)  # other patches, as many
        losses = model(views(), mode='loss')
        total(losses).backward()
        if step == 0:
            torch.testing.assert_close(total(losses), total(expected), rtol=1e-5, atol=1e-6)
    model.eval()
    for batch in (1, 3):  # evaluation stays eager
        model(views(batch)[0], mode='tensor')
    assert counter.frame_count == 4
