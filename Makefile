# make demo    a fleet on this machine, a rollout and a rollback    KEEP=1  RUNTIME=process|docker
# make test    the tests                                            REQUIRE_DOCKER=1: none skipped
# make lint    ruff and mypy
# make images  the Docker images asr-rollout/{node,router,controller}:dev   BASE=IMAGE
# make venv    .venv with everything; the others do it where needed
# make clean   remove what make built here (not models, not state)
#
# TORCH=cpu|cuda chooses the build of torch, in .venv and in the node's image (default cpu).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TORCH ?= cpu
RUNTIME ?= process
KEEP ?=
PYTHON := .venv/bin/python
READY := .venv/.ready-$(TORCH)
export TORCH

.PHONY: help venv demo test lint images clean

help:
	@sed -n '/^#/s/^# \{0,1\}//p;/^$$/q' Makefile

venv: $(READY)

# The one step that downloads; what it made is good until these files change.
$(READY): pyproject.toml constraints.txt
	@scripts/make-venv
	@touch $@

demo: $(READY) $(if $(filter docker,$(RUNTIME)),images)
	$(PYTHON) -m benchmarks.demo --runtime $(RUNTIME) $(if $(KEEP),--keep)

test: $(READY)
	$(PYTHON) -m pytest

lint: $(READY)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

images: $(READY)
	@docker/images

clean:
	rm -rf .venv build dist wheels .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
