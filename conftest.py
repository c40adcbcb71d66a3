"""Names that doctests may use without importing them."""

import numpy
import pytest
import torch


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace.update(np=numpy, torch=torch)
