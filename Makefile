# Everything is set up by the first target that needs it: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help setup demo test test-slow lint types wheel docs bench clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.installed  ## make .venv and install the project with its development extras

$(VENV)/.installed: setup.py pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: setup  ## train a discrete VAE and prune a network on real digits, offline
	$(BIN)/python -m examples.discrete_vae.main
	$(BIN)/python -m examples.prune_mnist.main

test: setup  ## the tests and the doctests
	$(BIN)/python -m pytest

test-slow: setup  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: setup  ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## mypy
	$(BIN)/mypy

wheel: setup  ## build the wheel and import it outside the checkout
	tests/check_wheel.sh $(BIN)/python

docs: setup  ## build the site into site/
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/mkdocs build --strict

bench: setup  ## the benchmarks: tables, and JSON in benchmarks/results
	$(BIN)/python -m benchmarks.estimators
	$(BIN)/python -m benchmarks.pruning

clean:  ## remove what make made
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache runs
