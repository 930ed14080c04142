# Everything is set up by the first target that needs it: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash
export TF_CPP_MIN_LOG_LEVEL ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
export PIP_ROOT_USER_ACTION ?= ignore
PIP := $(BIN)/python -m pip --quiet --quiet  # errors alone
INSTALL := $(PIP) install --no-compile  # what is imported is compiled then; the rest, most, never
# What TensorFlow's libraries say on standard error before anything can tell them not to.
HUSH := 2> >(grep --line-buffered -vE 'absl::InitializeLog|cudart_stub|cuda_platform|XNNPACK' >&2)

.PHONY: help setup setup-docs demo test test-slow lint types wheel docs bench clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.installed  ## make .venv and install the project with its development extras

$(VENV)/.installed: setup.py pyproject.toml
	@echo "Setting up $(VENV): TensorFlow is large, this takes minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) --upgrade pip
	@$(INSTALL) --editable '.[dev]'
	@touch $@

$(VENV)/.documented: $(VENV)/.installed
	@$(INSTALL) --editable '.[docs]'
	@touch $@

demo: setup  ## train a discrete VAE and prune a network on real digits, offline
	@$(BIN)/python -m examples.discrete_vae.main $(HUSH)
	@$(BIN)/python -m examples.prune_mnist.main $(HUSH)

test: setup  ## the tests, the doctests and the code blocks of the documentation, on two cores
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile

test-slow: setup  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow --timeout=900 --numprocesses=2 --dist=loadfile

lint: setup  ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## mypy
	$(BIN)/mypy

wheel: setup  ## build the wheel and import it outside the checkout
	tests/check_wheel.sh $(BIN)/python

setup-docs: $(VENV)/.documented  ## what the site is built with as well

docs: setup-docs  ## build the site into site/; warnings are errors
	@$(BIN)/sphinx-build -E -q -W --keep-going docs site $(HUSH)

bench: setup  ## the benchmarks: tables, and JSON in benchmarks/results
	$(BIN)/python -m benchmarks.estimators
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.pruning

clean:  ## remove what make made
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache runs
