import math

import numpy as np
import pytest
import torch

from mmssl_prior.evaluation import alignment, covariance_spectrum, rankme, uniformity
from mmssl_prior.evaluation import representation as module


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(37, 6, generator=generator) @ torch.diag(torch.arange(1.0, 7)) + 3


def test_spectrum_is_that_of_numpy(features, monkeypatch):
    monkeypatch.setattr(module, 'CHUNK', 10)
    x = features.double().numpy()
    expected = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    np.testing.assert_allclose(covariance_spectrum(features).numpy(), expected, rtol=1e-9)
    singular = np.linalg.svd(x, compute_uv=False)
    uncentred = (len(x) * covariance_spectrum(features, centred=False)).sqrt()
    np.testing.assert_allclose(uncentred.numpy(), singular, rtol=1e-9)


def test_rankme_equals_its_formula(features):
    values = np.linalg.svd(features.double().numpy(), compute_uv=False)
    p = values / values.sum() + 1e-7
    assert rankme(features) == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-9)


def test_laws_of_rankme(features):
    assert rankme(torch.ones(50, 1) @ torch.randn(1, 8)) == pytest.approx(1, abs=1e-4)
    assert rankme(7 * features) == pytest.approx(rankme(features), rel=1e-6)
    assert rankme(features[torch.randperm(37)]) == pytest.approx(rankme(features), rel=1e-9)
    # Fewer samples than dimensions: the rank is that of the samples.
    assert rankme(torch.eye(3, 10)) == pytest.approx(3, abs=1e-4)


def test_alignment_and_uniformity_equal_plain_loops(features):
    x = features / features.norm(dim=1, keepdim=True)
    y = (features + 1) / (features + 1).norm(dim=1, keepdim=True)
    pairs = [math.exp(-2 * (x[i] - x[j]).pow(2).sum()) for i in range(37) for j in range(i)]
    expected = math.log(sum(pairs) / len(pairs))
    for chunk in (4096, 10, 1):
        assert uniformity(features, chunk=chunk) == pytest.approx(expected, rel=1e-5)
    distances = [float((a - b).norm()) ** 3 for a, b in zip(x, y)]
    expected = sum(distances) / len(distances)
    assert alignment(features, features + 1, alpha=3) == pytest.approx(expected, rel=1e-4)


def test_laws_of_alignment_and_uniformity(features):
    assert alignment(features, 5 * features) == pytest.approx(0, abs=1e-9)
    assert uniformity(features[:1].expand(9, -1)) == pytest.approx(0, abs=1e-9)


def test_bad_input(features):
    for measure in (covariance_spectrum, rankme, uniformity):
        with pytest.raises(ValueError, match=r'shape \(N, D\), got \(37,\)'):
            measure(features[:, 0])
        with pytest.raises(ValueError, match='not finite'):
            measure(features / 0)
    with pytest.raises(ValueError, match='all features are zero'):
        rankme(torch.zeros(4, 3))
    with pytest.raises(ValueError, match='row i of both'):
        alignment(features, features[1:])
    with pytest.raises(ValueError, match='at least two'):
        uniformity(features[:1])
