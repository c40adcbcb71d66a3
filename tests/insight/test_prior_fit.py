"""Maximum likelihood of laws over ranks, its bias, interval and goodness of fit."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from mmssl_prior.errors import UserError
from mmssl_prior.insight import EXPONENTIAL, LAWS, POWER_LAW, fit_law, fit_prior, score_laws
from mmssl_prior.insight.rank_laws import check_counts


def sample(classes, images, exponent, seed=0):
    probs = np.exp(POWER_LAW.log_probs(classes, exponent))
    return np.random.default_rng(seed).multinomial(images, probs)


@pytest.mark.parametrize('law', LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize('counts', [[60, 30, 20, 15], [500, 3, 2, 1, 1, 0], [9, 9, 8, 9, 10]])
def test_maximum_is_that_of_the_likelihood(law, counts):
    """Against a search over a likelihood written as a plain loop."""
    ordered = sorted(counts, reverse=True)

    def minus_log_likelihood(parameter):
        statistic = [np.log(k) if law is POWER_LAW else k - 1 for k in range(1, len(counts) + 1)]
        total = sum(np.exp(-parameter * s) for s in statistic)
        return -sum(n * np.log(np.exp(-parameter * s) / total) for n, s in zip(ordered, statistic))

    search = minimize_scalar(minus_log_likelihood, bounds=(0, 30), method='bounded')
    found = float(law.maximum(np.array(ordered)))
    assert found == pytest.approx(search.x, abs=1e-3)
    assert minus_log_likelihood(found) <= search.fun + 1e-9


@pytest.mark.parametrize('law', LAWS, ids=lambda law: law.name)
def test_exact_counts_and_limits(law):
    exact = 1e12 * np.exp(law.log_probs(40, 0.3))
    assert float(law.maximum(exact)) == pytest.approx(0.3, abs=1e-6)
    assert float(law.maximum(np.full(7, 5))) == 0
    assert law.maximum(np.array([[6, 3, 2], [4, 4, 4]])).shape == (2,)
    # The curvature of the likelihood by finite differences.
    counts, h = np.array([60, 30, 20]), 1e-3
    at = float(law.maximum(counts))
    second = sum(
        w * float(counts @ law.log_probs(3, at + step)) for w, step in ((1, -h), (-2, 0), (1, h))
    )
    assert law.deviation(counts, at) == pytest.approx((-second / h**2) ** -0.5, rel=1e-3)


def test_ranking_biases_and_the_correction_takes_it_out():
    raws, fits = [], []
    for seed in range(30):
        fit = fit_law(POWER_LAW, sample(50, 1000, 0.25, seed), 100, seed=seed)
        raws.append(fit.raw)
        fits.append(fit)
    assert np.mean(raws) > 0.29
    assert np.mean([fit.estimate for fit in fits]) == pytest.approx(0.25, abs=0.02)
    covered = sum(fit.low <= 0.25 <= fit.high for fit in fits)
    assert covered >= 25  # 28.5 expected of 30


def test_equal_classes_are_not_excluded():
    counts = sample(100, 2000, 0.0)
    fit = fit_prior(counts, simulations=100)
    assert fit.power_law.raw > 0.15 and fit.power_law.low == 0
    assert fit.power_law.estimate < fit.power_law.raw / 2
    assert fit.law('uniform').p_value > 0.05 and fit.accepted


def test_laws_are_told_apart():
    power = fit_prior(sample(60, 6000, 1.0), simulations=100)
    assert power.accepted and power.law('exponential').p_value < 0.02
    assert power.law('uniform').p_value < 0.02
    assert min(power.laws, key=lambda law: law.bic).law == 'power law'
    assert not any(half.differs for half in power.halves)
    geometric = np.random.default_rng(1).multinomial(6000, np.exp(EXPONENTIAL.log_probs(60, 0.08)))
    other = fit_prior(geometric, simulations=100)
    assert not other.accepted and other.law('exponential').p_value > 0.05
    assert other.exponential.low < 0.08 < other.exponential.high
    assert min(other.laws, key=lambda law: law.bic).law == 'exponential'
    assert other.halves[0].differs or other.halves[1].differs


def test_scores_by_hand():
    """Deviance, AIC and BIC of the uniform law, from their definitions."""
    counts = [6, 3, 1]
    uniform, _, _, empirical = score_laws(counts, simulations=20)
    likelihood = 10 * np.log(1 / 3)
    best = sum(n * np.log(n / 10) for n in counts)
    assert uniform.log_likelihood == pytest.approx(likelihood)
    assert uniform.deviance == pytest.approx(2 * (best - likelihood))
    assert uniform.kl == pytest.approx((best - likelihood) / 10)
    assert (uniform.aic, uniform.explained) == (pytest.approx(-2 * likelihood), 0)
    assert empirical.bic == pytest.approx(2 * np.log(10) - 2 * best)
    assert (empirical.deviance, empirical.explained, empirical.p_value) == (0, 1, None)


def test_order_and_seed_decide_nothing_and_everything():
    counts = [40, 12, 33, 7, 7]
    assert fit_law(POWER_LAW, counts) == fit_law(POWER_LAW, counts[::-1])
    assert fit_law(POWER_LAW, counts, seed=1).raw == fit_law(POWER_LAW, counts).raw


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        ([3, -1], r'entry 1 \(counted from 0\) is -1.0, expected a whole'),
        ([3, 0.5], 'entry 1 .* is 0.5'),
        ([3, float('nan')], 'entry 1 .* is nan'),
        ([3, 0, 0], '1 classes have images; .* at least 2'),
        ([[3, 4]], r'shape \(1, 2\), expected one number for each class'),
        (['a'], 'expected one number for each class'),
        ([10**400, 1], 'expected one number for each class .*too large'),
    ],
)
def test_what_are_no_counts(counts, message):
    with pytest.raises(UserError, match=message):
        check_counts(counts)
