# Two commands: make demo, make test. Each target does its own set-up.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest

comma := ,

# What runs containerd needs root on Linux; elsewhere it is left out, and CI takes that for a failure.
ROOT := $(shell [ "$$(id -u)" = 0 ] && [ "$$(uname -s)" = Linux ] && echo yes)

.PHONY: help demo run test quick lint unit integration e2e diff mutants node bench lock clean

help: ## Show the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("pullproof needs Python 3.11 or newer, this is %d.%d" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV) with the locked dependencies (about 30 s, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## The whole walk on this machine: no cluster, no internet
	@$(BIN)/pullproof demo

run: $(STAMP) ## The same, and it keeps serving until Ctrl-C
	@$(BIN)/pullproof demo --keep

test: lint unit integration e2e diff node ## Everything that CI runs
	@echo "make test: lint, unit, integration, e2e$(if $(ROOT),$(comma) diff and node have passed, have passed; diff and node were left out: they need root on Linux)"

quick: lint unit ## The part of the tests that needs no real server (within 3 minutes)

lint: $(STAMP) ## ruff, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(STAMP)
	$(PYTEST) tests/unit

integration: $(STAMP)
	@echo "integration: real servers on loopback; the Go oracle is built once (about 4 minutes cold)"
	$(PYTEST) tests/integration tests/parts

e2e: $(STAMP) ## The real API server, controllers, kubectl and registry alone
	@echo "e2e: etcd, kube-apiserver, controller-manager, kubectl and the registry are built once (about 8 minutes cold)"
	$(PYTEST) tests/e2e

diff: $(STAMP) ## Every case of the corpus against the real containerd (needs root on Linux)
	@echo "diff: containerd 2.4 and 1.7 are built once (about 3 minutes cold)"
	$(PYTEST) tests/differential
	$(BIN)/python -m tests.differential run

mutants: $(STAMP) ## Break the engine's rules one at a time: the corpus must notice each
	$(BIN)/python -m tests.differential.mutants

node: $(STAMP) ## The same manifests on a real kubelet, with the webhook off and on (needs root on Linux)
	@echo "node: containerd, runc and the kubelet are built once (about 2 minutes cold, after e2e and diff)"
	$(PYTEST) tests/node
	$(BIN)/python -m tests.node run

bench: $(STAMP) ## Compare costs: what 5,000 nodes take
	$(BIN)/python -m tests.bench.nodes

lock: $(STAMP) ## Renew the lock files (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes -q -o requirements.lock
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes -q -o requirements-dev.lock

clean: ## Remove what the targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
