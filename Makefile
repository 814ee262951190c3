# One command for each thing a person does here; `make` alone lists them. CONTRIBUTING.md says more.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test fuzz install lint format generate images e2e e2e-kind lock clean
unexport PYTHONPATH PYTHONHOME

# The first interpreter that the locks are made for. Another one: make PYTHON=/opt/python/bin/python3.12 ...
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(or $(shell for python in python3 python3.11 python3.12 python3.13; do \
	if $$python -c '$(SUPPORTED)' 2>/dev/null; then echo $$python; break; fi; done),python3)
VENV ?= .venv
BIN := $(VENV)/bin

DATA ?= .demo
PORT ?= 5160
TEST_ARGS ?=
E2E_ARGS ?=
EXAMPLES ?= 200
IMAGE_PREFIX ?=
IMAGE_TAG ?= latest
# Tests run side by side: many of them wait for something most of the time.
TEST_JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n > 4 ? 4 : n)))

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed-local ## Process a sample clip: a declared stream becomes delivered events
	@$(BIN)/luna-streams up --demo --exit-when-idle --data $(DATA) --port $(PORT)

test: $(VENV)/.installed-test ## Run the tests; TEST_ARGS='-k lifecycle' chooses some, TEST_JOBS=0 runs one after the other
	@$(BIN)/python -m pytest -n $(TEST_JOBS) --dist worksteal $(TEST_ARGS)

install: $(VENV)/.installed-dev ## Make .venv with everything for development, and the git hooks
	@$(BIN)/pre-commit install

lint: $(VENV)/.installed-test ## Check style, types, who may import whom, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

format: $(VENV)/.installed-test ## Put every file into the common format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

generate: $(VENV)/.installed-test ## Write the files that are made from others (pages of docs/, the OpenAPI document, the chart's CRDs)
	@cd tests && $(abspath $(BIN))/python -m support.repository

fuzz: $(VENV)/.installed-test ## Send the REST API many requests made of its document, at least 200 per operation; EXAMPLES=1000
	LUNA_FUZZ_EXAMPLES=$(EXAMPLES) LUNA_FUZZ_REQUESTS=$(shell echo $$(($(EXAMPLES) * 10))) $(BIN)/python -m pytest \
		tests/integration/test_shim_schemathesis.py tests/integration/test_shim_hostile.py $(TEST_ARGS)

e2e: $(VENV)/.installed-test ## Run the tests on a real cluster of the kit in ../shared/cluster (as root); E2E_ARGS='-k survival'
	@$(BIN)/python tests/e2e/run.py kit $(E2E_ARGS)

e2e-kind: $(VENV)/.installed-test ## Run the same tests on a cluster made by kind (needs kind, docker, helm, kubectl)
	@$(BIN)/python tests/e2e/run.py kind $(E2E_ARGS)

images: ## Build the images; IMAGE_PREFIX=registry.example.com/, IMAGE_TAG=0.2.0 name them, docs/images.md says more
	@images/build operator $(IMAGE_PREFIX)luna-streams-operator:$(IMAGE_TAG)
	@images/build processor $(IMAGE_PREFIX)luna-streams-processor:$(IMAGE_TAG)

clean: ## Remove what was made here, .venv and the data of the demo included
	rm -rf $(VENV) $(DATA) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# --- the virtual environment ------------------------------------------------------------------------------------------

define make-venv
@$(PYTHON) -c '$(SUPPORTED)' 2>/dev/null || { \
	echo "Python 3.11, 3.12 or 3.13 is needed, and '$(PYTHON)' is not: install one, or name it: make PYTHON=..." >&2; \
	exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	echo "Python's venv module is missing. On Debian and Ubuntu: sudo apt-get install python$$version-venv" >&2; \
	exit 1; }
@$(PYTHON) -m venv $(1)
endef

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

$(BIN)/pip:
	$(call make-venv,$(VENV))

# Each lock of development holds the smaller one whole, so that `make test` then `make demo` installs nothing twice.
$(VENV)/.installed-%: requirements/%.txt pyproject.toml | $(BIN)/pip
	@echo "Installing requirements/$*.txt into $(VENV) (a minute or two the first time) ..."
	@$(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements/$*.txt || { \
		echo "The packages could not be installed: the lines above say why. A Python package index must be reachable." >&2; \
		exit 1; }
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@case $* in dev) touch $(VENV)/.installed-{dev,test,local} ;; test) touch $(VENV)/.installed-{test,local} ;; \
		*) touch $@ ;; esac

# --- the locks: hashes of every file, no address of an index, Python 3.11 to 3.13 on Linux -----------------------------

COMPILE = build/lock/bin/uv pip compile --quiet $(if $(UPGRADE),--upgrade) --universal --fork-strategy fewest --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command 'make lock'

lock: build/lock/bin/uv ## Write requirements/*.txt from pyproject.toml; UPGRADE=1 takes the newest versions
	$(COMPILE) requirements/lock.in -o requirements/lock.txt
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) requirements/sbom.in -c requirements/build.txt -o requirements/sbom.txt
	$(COMPILE) pyproject.toml requirements/build.in --extra dev -o requirements/dev.txt
	$(COMPILE) pyproject.toml requirements/build.in --extra test -c requirements/dev.txt -o requirements/test.txt
	$(COMPILE) pyproject.toml requirements/build.in --extra local -c requirements/dev.txt -o requirements/local.txt
	$(COMPILE) pyproject.toml --extra operator --extra api-shim -c requirements/dev.txt -o requirements/operator.txt
	$(COMPILE) pyproject.toml --extra processor -c requirements/dev.txt -o requirements/processor.txt
	$(COMPILE) pyproject.toml --extra processor-gpu -c requirements/dev.txt -o requirements/processor-gpu.txt

build/lock/bin/uv: requirements/lock.txt
	$(call make-venv,build/lock)
	@build/lock/bin/python $(PIP_INSTALL) --require-hashes -r requirements/lock.txt
	@touch $@
