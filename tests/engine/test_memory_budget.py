"""Memory of large models: the formulas against what is counted, and the page against them."""

import importlib.util

import pytest
import torch
from mmengine import Config

from mmssl_prior.engine import NetworkSize, activation_bytes, state_bytes, working_bytes
from mmssl_prior.models import MSNViT
from tests.smoke import ROOT

WIDTH, HEADS = 64, 4


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('memory', ROOT / 'tools/benchmark/memory.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kept(depth, with_cp=False):
    """Bytes and tokens that a forward pass in bfloat16 keeps, parameters left out."""
    torch.manual_seed(0)
    arch = dict(embed_dims=WIDTH, num_layers=depth, num_heads=HEADS, feedforward_channels=4 * WIDTH)
    vit = MSNViT(arch, 32, 4, out_type='avg_featmap', with_cp=with_cp)
    vit.train()
    parameters = {p.untyped_storage().data_ptr() for p in vit.parameters()}
    storages = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage  # held, so that no address comes twice
        return tensor

    images = [torch.randn(8, 3, 32, 32), torch.randn(16, 3, 16, 16)]
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        with torch.autocast('cpu', torch.bfloat16):
            out = vit.forward_groups(images, [None, None])
    matrices = sum(p.numel() for layer in vit.layers for p in layer.parameters())
    total = sum(storage.nbytes() for storage in storages.values())
    del out
    # The rounded weights are counted by `working_bytes`.
    return total - 2 * matrices * (not with_cp), 8 * (8 * 8 + 1) + 16 * (4 * 4 + 1)


@pytest.mark.parametrize('with_cp', [False, True])
def test_a_block_keeps_what_the_formula_says(with_cp):
    """Of two depths the difference, so that what is around the blocks does not count."""
    (few, tokens), (many, _) = kept(2, with_cp), kept(4, with_cp)
    few_size, many_size = (NetworkSize(0, 0, 0, WIDTH, depth, HEADS, 4 * WIDTH) for depth in (2, 4))
    expected = activation_bytes(many_size, tokens, with_cp) - activation_bytes(
        few_size, tokens, with_cp
    )
    assert many - few == pytest.approx(expected, rel=0.02)


def test_states_by_hand():
    """16 bytes of a trained parameter and 4 of an averaged one, divided by the ranks."""
    size = NetworkSize(100, 50, 10, 8, 3, 2, 32)
    assert (size.target, size.trained) == (350, 360)
    assert sum(state_bytes(size).values()) == 16 * 360 + 4 * 350
    assert sum(state_bytes(size, 8).values()) == (16 * 360 + 4 * 350) / 8
    assert working_bytes(size, sharded=False) == 2 * 300
    assert working_bytes(size, sharded=True) == 10 * 100 + 12 * 50 + 8 * 10


@pytest.mark.parametrize('encoder', ['vit-l16', 'vit-h14'])
def test_the_page_has_these_numbers(tool, encoder, capsys):
    path = f'configs/pmsn/pmsn_{encoder}_in1k_fsdp.py'
    assert tool.main([str(ROOT / path)]) == 0
    page = (ROOT / 'docs/large_models.md').read_text()
    assert capsys.readouterr().out.strip() in page
    cfg = Config.fromfile(ROOT / path)
    size = tool.network_size(cfg)
    # With the count of the metafile, which tests/test_metafiles.py holds against the model.
    metafile = (ROOT / 'configs/pmsn/metafile.yml').read_text()
    entry = metafile.split(f'- Name: pmsn_{encoder}_in1k_fsdp')[1].split('Results')[0]
    assert f'Parameters: {size.trained + size.target}\n' in entry
    assert tool.tokens_per_image(cfg) == {'vit-l16': 167 + 370, 'vit-h14': 218 + 500}[encoder]


def test_another_method_is_refused(tool, capsys):
    assert tool.main([str(ROOT / 'configs/simclr/simclr_r50_in1k.py')]) == 1
    assert 'those of MSN with an MSNViT, this is GlobalSimCLR' in capsys.readouterr().err
