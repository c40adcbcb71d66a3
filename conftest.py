"""What tests share: configs and datasets made quickly, names that doctests need not import."""

import gc

import numpy
import pytest
import torch

from tests.formatting import format_once

format_once()


def pytest_collection_finish():
    """MMEngine's datasets collect garbage: a quarter of a second, over what imports have made."""
    gc.freeze()


def pytest_unconfigure():
    # Else extension modules would report at the end that they leak.
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace.update(np=numpy, torch=torch)
