"""The algorithm: what the two networks see, the target network, dropout, errors."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.backbones import BEiTViT
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from mmssl_prior.errors import UserError
from tests.models.masked import ARCH, DATA2VEC, build, images, masks, samples

BACKBONE = DATA2VEC['backbone']


def stock_blocks(state):
    """All blocks of MMPretrain's transformer with the weights of ours."""
    stock = BEiTViT(
        arch=ARCH,
        img_size=32,
        patch_size=8,
        layer_scale_init_value=0.5,
        use_rel_pos_bias=False,
        use_shared_rel_pos_bias=True,
        final_norm=False,
        out_type='raw',
        out_indices=[0, 1, 2],
    )
    stock.load_state_dict({k: v for k, v in state.items() if not k.startswith('ln1')})
    stock.eval()
    return stock


def test_targets_are_those_of_the_target_network_on_the_whole_image():
    model, x = build(DATA2VEC), images()
    layers = [a[:, 1:].detach() for a in stock_blocks(model.target_backbone.state_dict())(x)][-2:]
    mean = sum(
        (a - a.mean(-1, True)) / (a.var(-1, False, keepdim=True) + 1e-5).sqrt() for a in layers
    )
    mean = mean / 2
    expected = (mean - mean.mean(-1, True)) / (mean.var(-1, False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(model.targets(x), expected)
    online = build(DATA2VEC, top_k=1).targets(x)
    assert not torch.allclose(online, expected, atol=1e-2), 'top_k matters'


def test_targets_normalised_over_positions():
    model, x = build(DATA2VEC, target_norm='instance'), images()
    layers = [a[:, 1:].detach() for a in stock_blocks(model.target_backbone.state_dict())(x)][-2:]
    normed = [F.instance_norm(a.transpose(1, 2)).transpose(1, 2) for a in layers]
    torch.testing.assert_close(model.targets(x), (normed[0] + normed[1]) / 2)


def test_loss_is_smooth_l1_on_hidden_patches_alone():
    model, x, data = build(DATA2VEC), images(), samples()
    mask = masks(data)
    targets = model.targets(x)
    (tokens,) = model.backbone.block_outputs(x, mask=mask, mask_token=model.mask_token)
    terms = []
    for image in range(4):
        for patch in range(16):
            if mask[image, patch]:
                z = model.head.predictor(model.backbone.ln1(tokens[image, patch]))
                d = (z - targets[image, patch]).abs()
                terms.append(torch.where(d < 2, d**2 / 4, d - 1).mean())
    assert len(terms) == 40
    losses = model(x, data, mode='loss')
    torch.testing.assert_close(losses['loss'], torch.stack(terms).mean())
    assert sorted(losses) == ['loss', 'prediction_std', 'target_std']
    spread = targets[mask].std(0, unbiased=False).mean()
    torch.testing.assert_close(losses['target_std'], spread)


def test_what_is_hidden_changes_targets_and_not_the_predictions():
    model, x, data = build(DATA2VEC), images(), samples()
    mask = masks(data)
    y = x.clone().view(4, 3, 4, 8, 4, 8)
    y.permute(0, 2, 4, 1, 3, 5)[mask.view(4, 4, 4)] += 1.0
    y = y.reshape(x.shape)
    seen = [
        model.backbone.block_outputs(v, mask=mask, mask_token=model.mask_token)[0] for v in (x, y)
    ]
    assert torch.equal(*seen)
    assert not torch.allclose(model.targets(x), model.targets(y), atol=1e-2)


def test_gradients_reach_everything_but_the_target():
    model = build(DATA2VEC)
    model(images(), samples(), mode='loss')['loss'].backward()
    for name, param in model.named_parameters():
        if name.startswith('target_'):
            assert param.grad is None and not param.requires_grad
        else:
            assert param.grad is not None and param.grad.any(), name


def test_target_starts_as_a_copy_and_follows_by_the_formula():
    model = build(DATA2VEC)
    target = dict(model.target_backbone.named_parameters())
    for name, param in model.backbone.named_parameters():
        assert not torch.equal(target[name], param)
    expected = {n: 0.9 * target[n] + 0.1 * p for n, p in model.backbone.named_parameters()}
    model.update_target(0.9)
    for name, value in expected.items():
        torch.testing.assert_close(target[name], value.detach())
    model.sync_target()
    for a, b in zip(model.target_backbone.parameters(), model.backbone.parameters()):
        assert torch.equal(a, b)
    torch.manual_seed(0)
    fresh = MODELS.build(DATA2VEC)
    fresh.init_weights()
    for a, b in zip(fresh.target_backbone.parameters(), fresh.backbone.parameters()):
        assert torch.equal(a, b)


DROPPING = dict(DATA2VEC, backbone=dict(BACKBONE, drop_path_rate=0.5, attn_drop_rate=0.2))


def test_target_network_never_drops():
    model, x = build(DROPPING), images()
    assert model.backbone.training and not model.target_backbone.training
    assert not any(module.training for module in model.target_backbone.modules())
    assert torch.equal(model.targets(x), model.targets(x))
    training = model.targets(x)
    assert torch.equal(model.eval().targets(x), training)
    assert model.train() is model and not model.target_backbone.training


def test_dropout_is_a_function_of_seed_and_iteration():
    model, x, data = build(DROPPING), images(), samples()

    def loss(seed, iteration):
        torch.rand(3)  # the global generator has moved on
        before = torch.get_rng_state()
        model.set_step(seed, iteration)
        value = float(model(x, data, mode='loss')['loss'])
        assert torch.equal(torch.get_rng_state(), before)
        return value

    assert loss(0, 7) == loss(0, 7)
    assert len({loss(s, i) for s in range(2) for i in range(5)}) == 10


def test_features_are_patches_of_the_trained_network():
    model, x = build(DATA2VEC), images()
    model.eval()
    expected = model.backbone.ln1(model.backbone.block_outputs(x)[0]).mean(1)
    torch.testing.assert_close(model(x, mode='tensor'), expected)


def test_a_loss_that_is_not_finite_stops():
    model = build(DATA2VEC)
    losses = model(images(), samples(), mode='loss')
    total, log_vars = model.parse_losses(losses)
    assert torch.equal(total, losses['loss']) and 'loss' in log_vars
    with pytest.raises(UserError, match='loss=nan.*lower the learning rate'):
        model.parse_losses(dict(losses, loss=losses['loss'] * float('nan')))


def test_it_learns_what_is_hidden():
    """Below the loss of the best guess that does not look, the targets' spread."""
    model = build(DATA2VEC)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    x, data = images(8).cumsum(-1) / 4, samples(8)
    y = model.targets(x)[masks(data)]
    guess = F.smooth_l1_loss(y.mean(0).expand_as(y), y, beta=2.0)
    for i in range(80):
        model.set_step(0, i)
        losses = model(x, data, mode='loss')
        optimizer.zero_grad()
        losses['loss'].backward()
        optimizer.step()
        model.update_target(1.0)
    assert float(losses['loss']) < 0.7 * float(guess)


def test_without_a_step_it_says_which_hook_is_missing():
    model = MODELS.build(DATA2VEC)
    with pytest.raises(UserError, match='TargetNetworkHook'):
        model(images(), samples(), mode='loss')


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (None, "dict\\(type='SeededBlockMask', grid=4\\)"),
        ([DataSample() for _ in range(4)], 'without masks'),
        ([DataSample().set_mask(torch.ones(2, 2)) for _ in range(4)], 'set grid=4'),
    ],
)
def test_masks_that_are_missing_or_do_not_fit(data, message):
    with pytest.raises(UserError, match=message):
        build(DATA2VEC)(images(), data, mode='loss')


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(top_k=0), 'top_k must be from 1 to 3'),
        (dict(top_k=4), 'top_k must be from 1 to 3'),
        (dict(head=dict(type='Data2VecHead', embed_dims=16)), 'width 32, the head embed_dims=16'),
        (dict(head=dict(type='Data2VecHead', embed_dims=0)), 'embed_dims must be positive'),
        (dict(target_norm='batch'), "target_norm must be one of .*, got 'batch'"),
        (dict(backbone=dict(type='ResNet', depth=18)), 'ResNet does not offer'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(DATA2VEC, **kwargs))


def test_head_refuses_tokens_of_another_width():
    head = build(DATA2VEC).head
    with pytest.raises(ValueError, match='width 8, but the head has embed_dims=32'):
        head.loss(torch.zeros(2, 8), torch.zeros(2, 8))
