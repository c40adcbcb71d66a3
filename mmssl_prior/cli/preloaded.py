"""What a run of a study begins with; imported once, by the server that its process is a fork of.

The images of embedded tasks are rendered here, too, once for all runs: those
whose datasets keep them take ten seconds of each run, else.
"""

# ruff: noqa: F401

import atexit
import gc
import os

import mmengine.runner
import mmpretrain.engine
import mmpretrain.evaluation
import mmpretrain.visualization
import sklearn.cluster

import mmssl_prior.cli.evaluate
import mmssl_prior.cli.train
import mmssl_prior.study.work
from mmssl_prior.evaluation.tasks import TASKS, build_dataset
from mmssl_prior.study.execution import PRELOADED_TASKS

for name in os.environ.pop(PRELOADED_TASKS, '').split():
    if not TASKS[name].folder:
        for split in ('train', 'test'):
            build_dataset(TASKS[name], split, '')

# The pages of these objects stay shared: no collection writes to them.
gc.freeze()
# Else extension modules would report at the server's end that they leak.
atexit.register(gc.unfreeze)
