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

.PHONY: serve test test-slow check format benchmark image clean

serve: .venv/serve-$(ORT)
	@STRIATE_MODELS=$(MODELS) STRIATE_DEVICE=$(DEVICE) $(BIN)/python -m service --port $(PORT)

test: .venv/test
	$(BIN)/python -m pytest -m "not slow and not gpu and not benchmark"

test-slow: .venv/test
	$(BIN)/python -m pytest -m "slow and not gpu and not benchmark"

check: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmark: .venv/test
	@echo "There is no benchmark yet; benchmarks/ will hold them."

image: .venv/serve-$(ORT)
	$(BIN)/bentoml build
	$(BIN)/bentoml containerize striate:latest -t striate:$(VERSION)

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
	@$(PIP) '.[$(ORT),train,test]'
	@touch $@
