# `make` lists the targets. Everything lives in .venv, which they make.
PYTHON ?= python3
PORT ?= 3000
MODELS ?= models/starter
DEVICE ?= auto
ORT := $(if $(shell nvidia-smi -L 2>/dev/null),gpu,cpu)
BIN := .venv/bin
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' service/__init__.py)
HERE := not gpu and not benchmark and not image and not browser
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Nothing here reports to anybody.
export BENTOML_DO_NOT_TRACK := True
export ORT_DISABLE_TELEMETRY := 1

.PHONY: help serve test test-slow test-long test-browser screenshots check format reference benchmark image image-gpu image-test clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

serve: .venv/serve-$(ORT)  ## Serve MODELS (the starter packages) on PORT, on DEVICE
	@STRIATE_MODELS=$(MODELS) STRIATE_DEVICE=$(DEVICE) $(BIN)/python -m service --port $(PORT)

test: .venv/test  ## Run the tests that take seconds, two at a time
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not slow and not long and $(HERE)"

test-slow: .venv/test  ## Run the tests that take longer
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "slow and not long and $(HERE)" --ignore tests/service
	$(BIN)/python -m pytest -m "slow and not long and $(HERE)" tests/service

test-long: .venv/test  ## Run the tests that take minutes each: trainings, soaks
	$(BIN)/python -m pytest -m "long and $(HERE)"

test-browser: .venv/test  ## Drive the page in a real browser (Debian's chromium)
	$(BIN)/python -m pytest -m browser tests/service/http/workbench

screenshots: .venv/test  ## Photograph the page for docs/images
	$(BIN)/python -m docs.screenshots

check: .venv/test  ## Check format, lint, types and imports, as CI and pre-commit do
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/test  ## Format, and mend what can be mended by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

reference: .venv/test  ## Write the tables and pictures of docs/ that are drawn from the code
	$(BIN)/python -m docs.configuration
	$(BIN)/python -m docs.architecture

benchmark: .venv/benchmark  ## Measure the service, into build/benchmarks/report.md
	$(BIN)/python -m benchmarks --to build/benchmarks/report.md

# Not `bentoml containerize`: 1.4.39 refuses every Dockerfile template, since it reads it from a temporary folder.
image: .venv/serve-$(ORT)  ## Build the container image (Docker)
	$(BIN)/bentoml build
	bento=$$($(BIN)/bentoml get striate:latest -o path) && docker build -t striate:$(VERSION) -f $$bento/env/docker/Dockerfile $$bento

image-gpu: .venv/serve-$(ORT)  ## Build the container image for NVIDIA GPUs (Docker)
	$(BIN)/bentoml build -f deploy/bentofile.gpu.yaml
	bento=$$($(BIN)/bentoml get striate:latest -o path) && docker build -t striate:$(VERSION)-gpu -f $$bento/env/docker/Dockerfile $$bento

image-test: .venv/test  ## Build the image and test it (Docker)
	@docker info >/dev/null || { echo "image-test needs Docker: its command line, and a daemon that answers you."; exit 1; }
	$(MAKE) image
	$(BIN)/python -m pytest -m image tests/deploy/test_image.py

clean:  ## Remove .venv and build
	rm -rf .venv build

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Striate needs Python 3.11 or newer; this is " + sys.version)'
	@$(PYTHON) -m venv .venv

.venv/serve-$(ORT): pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing what serving needs ($(ORT)) into .venv; this happens once."
	@$(PIP) '.[$(ORT)]'
	@touch $@

.venv/test: pyproject.toml constraints.txt .venv/serve-$(ORT) | .venv/bin/python
	@echo "Installing training and test tools into .venv; this happens once."
	@$(PIP) 'pip>=25.1'  # the first that knows dependency groups
	@$(PIP) '.[$(ORT),train,trace]' --group test
	@touch $@

.venv/benchmark: .venv/test
	@echo "Installing what the service is measured against into .venv; this happens once."
	@$(PIP) '.[$(ORT),train,trace]' --group test --group benchmark
	@touch $@
