"""What a process of the tests begins with; ``tests/processes.py`` imports it once per worker."""

# ruff: noqa: F401

import atexit
import gc

import matplotlib.pyplot
import mmengine.runner
import mmpretrain.engine
import mmpretrain.evaluation
import mmpretrain.visualization
import pytest
import sklearn.datasets
import sklearn.linear_model
import sklearn.neighbors
import sklearn.preprocessing

import mmssl_prior.cli.evaluate
import mmssl_prior.cli.export_embeddings
import mmssl_prior.cli.train
from tests.formatting import format_once

format_once()
# The pages of these objects stay shared: no collection writes to them.
gc.freeze()
# Else extension modules would report at the server's end that they leak.
atexit.register(gc.unfreeze)
