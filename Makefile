# The environment is .venv; every target makes it when it is missing or older than setup.py.
# Upstream's OpenMMLab packages take the same names, so their tests have one of their own.

PY := .venv/bin/python
OPENMMLAB_PY := .venv-openmmlab/bin/python
SEED ?= 0
# Small models gain next to nothing from a second thread, and threads that wait for each other on a
# busy machine cost a factor of ten.
export OMP_NUM_THREADS ?= 1
# Processes of the tests; each takes about 2 GB.
TEST_JOBS ?= 2
DEMO := configs/pmsn/pmsn_vit-mini_patterns-lt.py
DEMO_DIR := work_dirs/demo-seed$(SEED)

.PHONY: help install demo test test-slow test-openmmlab lint clean FORCE

help:
	@echo 'make install         make .venv and install the package with everything it needs'
	@echo 'make demo            pretrain on the embedded data, evaluate, print a table (SEED=0)'
	@echo 'make test            the test suite and the doctests'
	@echo 'make test-slow       the tests that take minutes'
	@echo 'make test-openmmlab  make .venv-openmmlab with the upstream packages, and test there'
	@echo 'make lint            ruff and mypy'
	@echo 'make clean           delete what builds and tests leave behind (no .venv*, no work_dirs)'

install: .venv/.installed

# An environment that came with a copied checkout still points at the old place.
moved = $(if $(filter $(CURDIR),$(shell cat $(1)/.installed 2>/dev/null)),,FORCE)

.venv/.installed: setup.py pyproject.toml $(call moved,.venv)
	@PYTHON='$(PYTHON)' .ci/install

.venv-openmmlab/.installed: setup.py pyproject.toml $(call moved,.venv-openmmlab)
	@PYTHON='$(PYTHON)' .ci/install openmmlab

FORCE:

demo: install
	SEED=$(SEED) $(PY) tools/train.py $(DEMO) --work-dir $(DEMO_DIR)
	SEED=$(SEED) $(PY) tools/demo_report.py $(DEMO) $(DEMO_DIR)

test: install
	$(PY) -m pytest -n $(TEST_JOBS)

test-slow: install
	$(PY) -m pytest -m slow -n $(TEST_JOBS)

# What depends on the OpenMMLab packages; the rest of the suite is the same on either stack.
test-openmmlab: .venv-openmmlab/.installed
	$(OPENMMLAB_PY) -m pytest -n $(TEST_JOBS) tests/test_stack.py tests/models tests/datasets tests/engine tests/config

lint: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find mmssl_prior tools tests configs -name __pycache__ -type d -prune -exec rm -rf {} +
