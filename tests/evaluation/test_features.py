import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import ConcatDataset

from mmssl_prior.errors import UserError
from mmssl_prior.evaluation import evaluation_mode, extract_features, features
from tests.evaluation.toy import ToyFeatures, ToyImages, loader, reference_features
from tests.gloo import run_ranks


def _assert_equal(actual, expected):
    torch.testing.assert_close(tuple(actual), tuple(expected), rtol=0, atol=0)


@pytest.mark.parametrize('out', ['map', 'tuple'])
def test_equals_a_plain_loop(out):
    model, dataset = ToyFeatures(out), ToyImages(11)
    result = extract_features(model, loader(dataset))
    torch.testing.assert_close(result.features, reference_features(model, dataset))
    torch.testing.assert_close(result.labels, dataset.labels)
    torch.testing.assert_close(result.sample_idx, torch.arange(11))


def test_order_is_that_of_the_dataset_and_collation_does_not_matter():
    model, dataset = ToyFeatures(), ToyImages(11)
    expected = extract_features(model, loader(dataset, batch_size=11))
    _assert_equal(extract_features(model, loader(dataset, shuffle=True)), expected)
    _assert_equal(extract_features(model, loader(dataset, collate=pseudo_collate)), expected)
    _assert_equal(extract_features(model, loader(dataset, batch_size=1)), expected)


def test_model_and_generator_are_left_as_they_were():
    model = ToyFeatures().train()
    model.frozen.eval()
    modes = [module.training for module in model.modules()]
    assert True in modes and False in modes
    state = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.get_rng_state()
    extract_features(model, loader(ToyImages(), num_workers=1))
    assert [module.training for module in model.modules()] == modes
    torch.testing.assert_close(dict(model.state_dict()), state, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random)


def test_modes_return_after_an_error():
    model = ToyFeatures().train()
    model.bn.eval()
    with pytest.raises(RuntimeError, match='on purpose'), evaluation_mode(model):
        assert not any(module.training for module in model.modules())
        raise RuntimeError('on purpose')
    assert model.training and model.frozen[0].training and not model.bn.training


def test_gradients_are_off_and_forward_can_be_chosen():
    model, dataset = ToyFeatures(), ToyImages(5)
    grads = []

    def forward(inputs, data_samples):
        grads.append(torch.is_grad_enabled())
        assert len(data_samples) == len(inputs)
        return inputs.flatten(1)

    result = extract_features(model, loader(dataset), forward=forward)
    torch.testing.assert_close(result.features, dataset.images.flatten(1))
    assert grads == [False, False]


def test_unlabelled_samples_have_no_labels():
    assert extract_features(ToyFeatures(), loader(ToyImages(labelled=False))).labels is None


@pytest.mark.parametrize(
    'dataset, out, message',
    [
        (ToyImages(views=2), 'map', 'single-view pipeline'),
        (ToyImages(indexed=False), 'map', "meta_keys must include 'sample_idx'"),
        (ToyImages(), 'tokens', r'features of shape \(4, 3, 16\)'),
        (ConcatDataset([ToyImages(labelled=False), ToyImages(4)]), 'map', 'only 4 of 24 samples'),
        (ConcatDataset([ToyImages(seed=0), ToyImages(seed=1)]), 'map', 'share a sample_idx'),
    ],
)
def test_bad_data_is_named(dataset, out, message):
    with pytest.raises(UserError, match=f'^probe: .*{message}'):
        extract_features(ToyFeatures(out), loader(dataset), name='probe')


def test_no_samples():
    with pytest.raises(UserError, match='there are no samples'):
        extract_features(ToyFeatures(), [])


def test_missing_samples_are_reported(monkeypatch):
    lines = []
    monkeypatch.setattr(features, 'print_log', lambda text, **kwargs: lines.append(text))
    extract_features(ToyFeatures(), loader(ToyImages(11), drop_last=True), name='bank')
    assert len(lines) == 1 and lines[0].startswith('bank: 8 of 11 samples')
    extract_features(ToyFeatures(), loader(ToyImages(11)))
    assert len(lines) == 1


CASES = [
    (size, round_up, labelled)
    for size in (1, 5, 11, 24)
    for round_up in (True, False)
    for labelled in (True, False)
]


def _extract_cases(rank, gather_rows):
    features.GATHER_ROWS = gather_rows
    results = []
    for size, round_up, labelled in CASES:
        batches = loader(ToyImages(size, labelled=labelled), batch_size=3, round_up=round_up)
        model = ToyFeatures().train()
        results.append((tuple(extract_features(model, batches)), len(batches.sampler)))
    return results


def _fail_together(rank):
    messages = []
    # Samples 3 and 4 of the first are labelled, 4 of the second: rank 1 of 3 holds a mixture
    # in the first, which only it can see; in the second no rank does.
    for unlabelled, batch_size in ((3, 3), (4, 1)):
        dataset = ConcatDataset([ToyImages(unlabelled, labelled=False), ToyImages(5 - unlabelled)])
        batches = loader(dataset, batch_size=batch_size, round_up=False)
        try:
            extract_features(ToyFeatures(), batches)
        except UserError as error:
            messages.append(str(error))
    return messages


@pytest.mark.parametrize('world_size, gather_rows', [(2, 8192), (3, 2)])
def test_ranks_together_return_exactly_what_one_process_returns(world_size, gather_rows):
    ranks = run_ranks(world_size, _extract_cases, gather_rows)
    for number, (size, round_up, labelled) in enumerate(CASES):
        expected = extract_features(ToyFeatures(), loader(ToyImages(size, labelled=labelled)))
        shares = [rank[number][1] for rank in ranks]
        assert sum(shares) == (-(-size // world_size) * world_size if round_up else size)
        for rank in ranks:
            _assert_equal(rank[number][0], expected)


def test_all_ranks_raise_when_one_has_bad_data():
    ranks = run_ranks(3, _fail_together, timeout=300)
    assert (
        ranks
        == [
            [
                'samples: every sample needs exactly one gt_label, or none any',
                'samples: only 1 of 5 samples have a gt_label',
            ]
        ]
        * 3
    )
