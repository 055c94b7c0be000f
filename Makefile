# make setup    the virtual environment .venv with pinned dependencies
# make engine   a container engine and the images of the example; installs and builds what is missing
# make demo     bedev finds, fixes and proves a slow query of the example
# make check    format, lint, types, import layers: seconds
# make quick    the tests that need no container engine
# make test     all tests
# make clean    removes caches and build output

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
TYPECHECK := .cache/typecheck
PACKAGES := agent tools sandboxes
LINKS := $(PACKAGES:%=$(TYPECHECK)/bedev/%)

# What pytest is to do besides: make test ARGS='-k growth'
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup engine demo test quick check clean

help:
	@sed -n 's/^# make/make/p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "setup: the virtual environment .venv with what pyproject.toml names (about 20 s)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
		{ echo "setup: no virtual environment could be made; on Debian: apt-get install python3-venv" >&2; rm -rf .venv; exit 3; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "setup: bedev needs Python 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; rm -rf .venv; exit 3; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

engine:
	@.ci/engine
	@.ci/standins

demo: setup engine
	@$(BIN)/bedev demo

test: setup engine
	@.ci/standins --all
	$(BIN)/pytest $(ARGS)

quick: setup
	$(BIN)/pytest -m "not docker and not e2e and not slow" $(ARGS)

# The folders are installed under other names (agent as bedev.agent): mypy reads them through links of these names,
# and its messages are turned back into the folders' own.
$(LINKS): $(TYPECHECK)/bedev/%:
	@mkdir -p $(@D)
	@ln -s ../../../$* $@

check: setup | $(LINKS)
	$(BIN)/ruff format --check --quiet . || { echo "check: run $(BIN)/ruff format" >&2; exit 1; }
	$(BIN)/ruff check --quiet .
	set -o pipefail; MYPYPATH=$(TYPECHECK) $(BIN)/mypy --strict --namespace-packages --explicit-package-bases \
		--cache-dir .cache/mypy $(PACKAGES:%=-p bedev.%) | sed 's|$(TYPECHECK)/bedev/||g'
	$(BIN)/lint-imports --no-logo --cache-dir .cache/imports

clean:
	rm -rf .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find $(PACKAGES) tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
