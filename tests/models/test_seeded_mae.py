"""SeededMAE against MMPretrain's MAE with the same masks."""

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from mmssl_prior.errors import UserError
from tests.models.masked import MAE, VIT, build, images, masks, samples


def stock_model(model):
    """MMPretrain's MAE with the weights of ours."""
    stock = MODELS.build(
        dict(
            MAE,
            type='MAE',
            backbone=dict(VIT, type='MAEViT', mask_ratio=10 / 16),
            head=dict(MAE['head'], loss=dict(type='PixelReconstructionLoss', criterion='L2')),
        )
    )
    assert stock.state_dict().keys() == model.state_dict().keys()
    stock.load_state_dict(model.state_dict())
    return stock


def test_loss_and_gradients_are_those_of_the_stock_model(monkeypatch):
    """Where its noise sorts the patches as the masks do."""
    model, x, data = build(MAE), images(), samples()
    stock = stock_model(model)
    losses = model(x, data, mode='loss')
    losses['loss'].backward()
    noise = masks(data) + torch.arange(16) / 100
    with monkeypatch.context() as patch:
        patch.setattr(torch, 'rand', lambda *size, device=None: noise)
        expected = stock(x, data, mode='loss')
    expected['loss'].backward()
    torch.testing.assert_close(losses['loss'], expected['loss'])
    grads = dict(model.named_parameters())
    for name, param in stock.named_parameters():
        if param.requires_grad:
            torch.testing.assert_close(grads[name].grad, param.grad, msg=name)
        else:
            assert 'pos_embed' in name and grads[name].grad is None


def test_loss_is_the_normalised_error_of_hidden_pixels():
    """Plain loops over patches and pixels; the decoder's output is given."""
    model, x, data = build(MAE), images(2), samples(2)
    latent, hidden, restore = model.backbone(x, masks(data))
    pred = model.neck(latent, restore)
    total, count = 0.0, 0
    for image in range(2):
        for patch in range(16):
            if not data[image].mask.flatten()[patch]:
                continue
            row, column = 8 * (patch // 4), 8 * (patch % 4)
            pixels = x[image, :, row : row + 8, column : column + 8].permute(1, 2, 0).flatten()
            target = (pixels - pixels.mean()) / (pixels.var() + 1e-6).sqrt()
            total += float((pred[image, patch] - target).square().sum())
            count += len(pixels)
    assert count == 20 * 192
    assert float(model(x, data, mode='loss')['loss']) == pytest.approx(total / count, rel=1e-5)
    assert torch.equal(hidden.bool(), masks(data))


def test_visible_patches_stay_in_order_and_come_back_to_their_places():
    model, x, data = build(MAE), images(), samples()
    mask = masks(data)
    vit = model.backbone
    vit.layers = torch.nn.ModuleList()
    vit.ln1 = torch.nn.Identity()  # the tokens themselves
    latent, _, restore = vit(x, mask)
    tokens = vit.patch_embed(x)[0] + vit.pos_embed[:, 1:]
    for image in range(4):
        torch.testing.assert_close(latent[image, 1:], tokens[image][~mask[image]])
        whole = torch.cat([latent[image, 1:], torch.zeros(10, 32)])[restore[image]]
        torch.testing.assert_close(whole, tokens[image] * ~mask[image].unsqueeze(-1))


def test_the_global_generators_play_no_part():
    model, x, data = build(MAE), images(), samples()
    first = model(x, data, mode='loss')['loss']
    before = torch.get_rng_state()
    assert torch.equal(model(x, data, mode='loss')['loss'], first)
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients_reach_everything_that_is_trained():
    model = build(MAE)
    model(images(), samples(), mode='loss')['loss'].backward()
    for name, param in model.named_parameters():
        assert (param.grad is not None) == param.requires_grad, name


@pytest.mark.parametrize('out_type', ['cls_token', 'featmap'])
def test_features_are_of_the_whole_image(out_type):
    model, x = build(MAE, backbone=dict(VIT, type='SeededMAEViT', out_type=out_type)), images()
    model.eval()
    stock = MODELS.build(dict(VIT, type='VisionTransformer', out_type=out_type))
    stock.load_state_dict(model.backbone.state_dict())
    stock.eval()
    torch.testing.assert_close(model(x, mode='tensor')[-1], stock(x)[-1])


def test_a_loss_that_is_not_finite_stops():
    model = build(MAE)
    losses = model(images(), samples(), mode='loss')
    total, log_vars = model.parse_losses(losses)
    assert torch.equal(total, losses['loss']) and 'loss' in log_vars
    with pytest.raises(UserError, match='loss=nan.*lower the learning rate'):
        model.parse_losses(dict(losses, loss=losses['loss'] * float('nan')))


def test_it_learns_what_is_hidden():
    model = build(MAE)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    x, data = images(8).cumsum(-1) / 4, samples(8)
    for _ in range(60):
        loss = model(x, data, mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.7  # a constant guess is at 1


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (None, "dict\\(type='SeededRandomMask', grid=4\\)"),
        ([DataSample() for _ in range(4)], 'without masks'),
        ([DataSample().set_mask(torch.ones(2, 2)) for _ in range(4)], 'set grid=4'),
        (samples(2, 3) + samples(2, 4), 'between 12 and 13 patches are visible'),
        (samples(4, 16), 'at least one'),
    ],
)
def test_masks_that_are_missing_or_do_not_fit(data, message):
    with pytest.raises(UserError, match=message):
        build(MAE)(images(), data, mode='loss')


def test_backbone_refuses_a_mask_that_is_none():
    vit = build(MAE).backbone
    for mask in (True, torch.ones(4, 9, dtype=torch.bool)):
        with pytest.raises(UserError, match=r'bool of shape \(4, 16\)'):
            vit(images(), mask)


def test_an_output_that_would_not_be_trained():
    with pytest.raises(UserError, match='avg_featmap'):
        MODELS.build(dict(VIT, type='SeededMAEViT', out_type='avg_featmap'))
