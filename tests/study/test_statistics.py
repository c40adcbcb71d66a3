"""Statistics of few seeds against scipy's own tests, values by hand and laws."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from mmssl_prior.study.statistics import holm, mean_interval, paired_difference

# P(T < 4.303) = 0.975 with two degrees of freedom: any table of the t-distribution.
T2 = 4.302653


def test_interval_by_hand():
    """Of 1, 2, 6: mean 3, variance (4 + 1 + 9) / 2 = 7."""
    found = mean_interval([1.0, 2.0, 6.0])
    assert found.value == pytest.approx(3)
    assert found.half == pytest.approx(T2 * math.sqrt(7 / 3))
    assert found.n == 3


def test_interval_equals_scipys_at_other_levels():
    values = np.random.default_rng(0).normal(size=7)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.8)
    found = mean_interval(values, level=0.8)
    assert (found.value - found.half, found.value + found.half) == pytest.approx((low, high))


def test_95_percent_intervals_hold_the_mean_in_95_percent():
    """Of 3 values, where a normal quantile would hold it in 81% only."""
    draws = np.random.default_rng(0).normal(5.0, 2.0, size=(2000, 3))
    held = [abs(found.value - 5.0) < found.half for found in map(mean_interval, draws)]
    # The standard error of the share is 0.5%.
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_one_value_and_equal_values_have_no_interval():
    assert mean_interval([0.4]) == (0.4, None, 1)
    assert mean_interval([0.4, 0.4, 0.4])[1:] == (None, 3)
    # A spread that is small, yet no rounding, is one.
    assert mean_interval([0.4, 0.4 + 1e-8]).half > 0


def test_pairs_equal_scipys_paired_test():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=6), rng.normal(0.5, size=6)
    found = paired_difference(dict(enumerate(a)), dict(enumerate(b)))
    reference = stats.ttest_rel(a, b)
    assert found.p == pytest.approx(reference.pvalue)
    interval = reference.confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx(tuple(interval))
    assert found.n == 6
    assert found.same_sign == sum((a - b > 0) == (found.value > 0))


def test_pairs_are_of_common_seeds_whatever_their_order():
    """Seeds 1, 2 and 4: differences 1, 2, 6; t = 3 / sqrt(7 / 3), by hand as above."""
    values = {4: 10.0, 1: 5.0, 0: 99.0, 2: 7.0}
    baseline = {2: 5.0, 9: -50.0, 1: 4.0, 4: 4.0}
    found = paired_difference(values, baseline)
    assert (found.n, found.same_sign) == (3, 3)
    assert found.value == pytest.approx(3)
    assert found.half == pytest.approx(T2 * math.sqrt(7 / 3))
    # With two degrees of freedom the t-distribution has a closed form.
    t = 3 / math.sqrt(7 / 3)
    assert found.p == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_seeds_may_be_renamed_and_conditions_exchanged():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=4), rng.normal(size=4)
    first = paired_difference(dict(enumerate(a)), dict(enumerate(b)))
    for order in itertools.permutations(range(4)):
        renamed = paired_difference(dict(zip(order, a)), dict(zip(order, b)))
        assert renamed == pytest.approx(first[:5] + (None,))
    back = paired_difference(dict(enumerate(b)), dict(enumerate(a)))
    assert back[:5] == pytest.approx((-first.value, *first[1:5]))


def test_what_seeds_have_in_common_does_not_blur_a_difference():
    seeds = dict(enumerate([0.1, 0.9, 0.5, 0.3]))
    shifted = {seed: value + 0.01 + 0.001 * (seed % 2) for seed, value in seeds.items()}
    found = paired_difference(shifted, seeds)
    assert found.p < 0.001
    assert stats.ttest_ind(list(shifted.values()), list(seeds.values())).pvalue > 0.9


def test_one_pair_and_equal_differences_have_no_test():
    assert paired_difference({3: 0.6}, {3: 0.5})[1:] == (None, 1, 1, None, None)
    # In binary, 0.3 - 0.2 and 0.8 - 0.7 differ by rounding: a t of 1e15 without care.
    found = paired_difference({0: 0.3, 1: 0.8, 2: 0.5}, {0: 0.2, 1: 0.7, 2: 0.4})
    assert found.value == pytest.approx(0.1)
    assert found[1:] == (None, 3, 3, None, None)
    same = paired_difference({0: 0.3, 1: 0.8}, {0: 0.3, 1: 0.8})
    assert (same.value, same.half, same.p) == (0.0, None, None)


def test_signs_are_counted_against_the_mean():
    found = paired_difference({0: 5.0, 1: -1.0, 2: 0.0, 3: 1.0}, dict.fromkeys(range(4), 0.0))
    assert (found.n, found.same_sign) == (4, 2)


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1 are 0.04, 0.06, 0.06, 0.04."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_equals_the_closed_testing_of_bonferroni():
    """A test is rejected if each set of tests that holds it is, by its least p times its size."""
    p = np.random.default_rng(3).uniform(0, 0.3, size=5)
    for i, found in enumerate(holm(list(p))):
        sets = (
            subset
            for size in range(1, 6)
            for subset in itertools.combinations(range(5), size)
            if i in subset
        )
        assert found == pytest.approx(max(min(1, len(s) * min(p[list(s)])) for s in sets))


def test_holm_leaves_out_what_was_not_tested():
    assert holm([None, 0.01, None, 0.02]) == [None, 0.02, None, 0.02]
    assert holm([None]) == [None]
