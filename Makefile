# `make` lists the targets. Everything lives in .venv, which they make.
PYTHON ?= python3
PORT ?= 3000
MODELS ?= models/starter
DEVICE ?= auto
ORT := $(if $(shell nvidia-smi -L 2>/dev/null),gpu,cpu)
BIN := .venv/bin
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' service/__init__.py)
HERE := not gpu and not benchmark and not image and not browser
COMMIT := $(shell git describe --always --dirty --exclude '*' 2>/dev/null || echo unknown)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# The version's tag moves with each build; that of the commit stays, for the way back. BASE_IMAGE, for example with a digest,
# replaces that of the Bento file. Not `bentoml containerize`: 1.4.39 refuses every Dockerfile template.
SOURCE ?= $(shell git config --get remote.origin.url | sed 's|//[^/]*@|//|')
LABELS = --build-arg VERSION=$(VERSION) --build-arg REVISION=$(COMMIT) --build-arg SOURCE=$(SOURCE)
define build
	$(BIN)/bentoml build -f $(1)
	bento=$$($(BIN)/bentoml get striate:latest -o path) && \
	docker build $(LABELS) $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
		-t striate:$(VERSION)$(2) -t striate:$(VERSION)-$(COMMIT)$(2) -f $$bento/env/docker/Dockerfile $$bento
endef

# Versions as in constraints.txt, with the SHA-256 of each file that the index has of them.
LOCK = build/lock/bin/uv pip compile --no-config --quiet --generate-hashes --only-binary :all: --no-annotate \
	--python-version 3.11 --python-platform x86_64-unknown-linux-gnu --custom-compile-command "make lock" --constraint constraints.txt

# Nothing here reports to anybody.
export BENTOML_DO_NOT_TRACK := True
export ORT_DISABLE_TELEMETRY := 1

.PHONY: help serve test test-slow test-long test-browser screenshots check format reference benchmark image image-gpu image-test lock clean

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

image: .venv/serve-$(ORT)  ## Build the container image (Docker)
	$(call build,bentofile.yaml,)

image-gpu: .venv/serve-$(ORT)  ## Build the container image for NVIDIA GPUs (Docker)
	$(call build,deploy/bentofile.gpu.yaml,-gpu)

image-test: .venv/test  ## Build the image and test it (Docker)
	@docker info >/dev/null || { echo "image-test needs Docker: its command line, and a daemon that answers you."; exit 1; }
	$(MAKE) image
	$(BIN)/python -m pytest -m image tests/deploy/test_image.py

lock: build/lock/bin/uv  ## Write deploy/lock, the hashes that the image installs by, anew from constraints.txt
	$(LOCK) --extra cpu --extra trace pyproject.toml -o deploy/lock/cpu.txt
	$(LOCK) --extra gpu --extra trace pyproject.toml -o deploy/lock/gpu.txt
	echo cyclonedx-bom==7.5.0 | $(LOCK) - -o deploy/lock/sbom.txt

.env:  # compose's settings, with a password for Grafana; an existing file stays as it is
	@umask 077 && sed "s/^GRAFANA_ADMIN_PASSWORD=.*/&$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(18))')/" .env.example > $@

clean:  ## Remove .venv and build
	rm -rf .venv build

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Striate needs Python 3.11 or newer; this is " + sys.version)'
	@$(PYTHON) -m venv .venv

build/lock/bin/uv:
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check install --quiet uv==0.13.9

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
