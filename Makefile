# The environment is .venv; every target makes it when it is missing or older than setup.py.

PY := .venv/bin/python
STAMP := .venv/.installed
SEED ?= 0
# Small models gain next to nothing from a second thread, and threads that wait for each other on a
# busy machine cost a factor of ten.
export OMP_NUM_THREADS ?= 1
DEMO := configs/pmsn/pmsn_vit-mini_patterns-lt.py
DEMO_DIR := work_dirs/demo-seed$(SEED)

.PHONY: help install demo test test-slow lint clean FORCE

help:
	@echo 'make install    make .venv and install the package with everything it needs'
	@echo 'make demo       pretrain on the embedded data, evaluate, print a table (SEED=0)'
	@echo 'make test       the test suite and the doctests'
	@echo 'make test-slow  the tests that take minutes'
	@echo 'make lint       ruff and mypy'
	@echo 'make clean      delete what builds and tests leave behind (not .venv, not work_dirs)'

install: $(STAMP)

# An environment that came with a copied checkout still points at the old place.
$(STAMP): setup.py pyproject.toml $(if $(filter $(CURDIR),$(shell cat $(STAMP) 2>/dev/null)),,FORCE)
	@PYTHON='$(PYTHON)' .ci/install

FORCE:

demo: install
	SEED=$(SEED) $(PY) tools/train.py $(DEMO) --work-dir $(DEMO_DIR)
	SEED=$(SEED) $(PY) tools/demo_report.py $(DEMO) $(DEMO_DIR)

test: install
	$(PY) -m pytest

test-slow: install
	$(PY) -m pytest -m slow

lint: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find mmssl_prior tools tests configs -name __pycache__ -type d -prune -exec rm -rf {} +
