"""What a run of a study begins with; imported once, by the server that its process is a fork of."""

# ruff: noqa: F401

import atexit
import gc

import mmengine.runner
import mmpretrain.engine
import mmpretrain.evaluation
import mmpretrain.visualization
import sklearn.cluster

import mmssl_prior.cli.evaluate
import mmssl_prior.cli.train
import mmssl_prior.study.work

# The pages of these objects stay shared: no collection writes to them.
gc.freeze()
# Else extension modules would report at the server's end that they leak.
atexit.register(gc.unfreeze)
