# make serve | test | check | benchmark | image. Everything lives in .venv, which these targets make.
PYTHON ?= python3
PORT ?= 3000
MODELS ?= models/starter
DEVICE ?= auto
ORT := $(if $(shell nvidia-smi -L 2>/dev/null),gpu,cpu)
BIN := .venv/bin
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Nothing here reports to anybody.
export BENTOML_DO_NOT_TRACK := True
export ORT_DISABLE_TELEMETRY := 1

.PHONY: serve test test-slow test-browser screenshots check format reference benchmark image image-gpu image-test clean

serve: .venv/serve-$(ORT)
	@STRIATE_MODELS=$(MODELS) STRIATE_DEVICE=$(DEVICE) $(BIN)/python -m service --port $(PORT)

test: .venv/test
	$(BIN)/python -m pytest -m "not slow and not gpu and not benchmark and not image and not browser"

test-slow: .venv/test
	$(BIN)/python -m pytest -m "slow and not gpu and not benchmark and not image and not browser"

test-browser: .venv/test
	$(BIN)/python -m pytest -m browser tests/service/http/workbench

screenshots: .venv/test
	$(BIN)/python -m docs.screenshots

check: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

reference: .venv/serve-$(ORT)
	$(BIN)/python -m docs.configuration

benchmark: .venv/benchmark
	$(BIN)/python -m benchmarks --to build/benchmarks/report.md

# Not `bentoml containerize`: 1.4.39 refuses every Dockerfile template, since it reads it from a temporary folder.
image: .venv/serve-$(ORT)
	$(BIN)/bentoml build
	bento=$$($(BIN)/bentoml get striate:latest -o path) && docker build -t striate:$(VERSION) -f $$bento/env/docker/Dockerfile $$bento

image-gpu: .venv/serve-$(ORT)
	$(BIN)/bentoml build -f deploy/bentofile.gpu.yaml
	bento=$$($(BIN)/bentoml get striate:latest -o path) && docker build -t striate:$(VERSION)-gpu -f $$bento/env/docker/Dockerfile $$bento

image-test: .venv/test
	@docker info >/dev/null || { echo "image-test needs Docker: its command line, and a daemon that answers you."; exit 1; }
	$(MAKE) image
	$(BIN)/python -m pytest -m image tests/deploy/test_image.py

clean:
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
	@$(PIP) '.[$(ORT),train,trace,test]'
	@touch $@

.venv/benchmark: .venv/test
	@echo "Installing what the service is measured against into .venv; this happens once."
	@$(PIP) '.[$(ORT),train,trace,test,benchmark]'
	@touch $@
