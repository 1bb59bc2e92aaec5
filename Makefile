# Everything starts from Python >= 3.11 alone. `make setup` prepares .venv; every other target does so by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOCUMENTS ?= 6000
WORKERS ?= 2
PYTEST ?=
SECONDS ?= 120
SEED ?= 1
JOBS ?=
STORAGE ?=
BENCH ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo up test unit lint format bench chaos docs pins screenshots clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | expand -t 12

setup: $(VENV)/.ready ## prepare .venv, with .venv/bin/reembed in it

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("reembed needs Python 3.11 or newer: make PYTHON=python3.12 setup" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[application,embedded,development,docs]'
	@touch $@

demo: setup ## a whole migration on real documents, nothing to install or configure
	@$(BIN)/reembed demo --documents $(DOCUMENTS)

# Against the environment's database, or the one in .env; without any, against an embedded one. What the environment lacks is
# said once, before anything starts
up: export PATH := $(CURDIR)/$(BIN):$(PATH)
up: setup ## all processes of an installation, until Ctrl-C: make up WORKERS=4
	@if [ -n "$$DATABASE_URL" ] || grep -Eqs "^DATABASE_URL=['\"]?[^'\"]" .env; \
	then honcho run python -m config && exec python -m orchestrator.processes --workers $(WORKERS); \
	else exec python -m orchestrator.demo.up --workers $(WORKERS) --documents $(DOCUMENTS); fi

test: setup ## every test, on an embedded Postgres and Redis, with real workers, in three processes
	$(BIN)/python -m tests.together $(PYTEST)

unit: setup ## the tests without I/O
	$(BIN)/pytest tests/unit $(PYTEST)

lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## let ruff put things in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## every figure that the documents state; BENCH=--quick for a look
	@$(BIN)/python -m benchmarks $(BENCH)

chaos: setup ## a migration under fire: make chaos SECONDS=600 SEED=1, JOBS=1 for PROVIDER_MODE=batch, STORAGE=companion
	$(BIN)/python -m tests.chaos --seconds $(SECONDS) --seed $(SEED) $(if $(JOBS),--by-jobs )$(if $(STORAGE),--storage $(STORAGE))

docs: setup ## the documents as a site, in docs/_build/html; a link that leads nowhere fails
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

pins: ## what the image installs, for its Python: make pins PYTHON=python3.12
	rm -rf $(VENV)-pins && $(PYTHON) -m venv $(VENV)-pins
	$(VENV)-pins/bin/python -m pip install --quiet '.[application,tracing]'
	(echo '# What the image installs, version by version: make pins PYTHON=python3.12'; \
	  $(VENV)-pins/bin/python -m pip freeze --exclude reembed) > deploy/constraints.txt
	rm -rf $(VENV)-pins && $(PYTHON) -m venv $(VENV)-pins
	$(VENV)-pins/bin/python -m pip install --quiet hatchling
	(echo '# What builds our wheel for the image: make pins PYTHON=python3.12'; \
	  $(VENV)-pins/bin/python -m pip freeze) > deploy/build-constraints.txt
	rm -rf $(VENV)-pins

screenshots: setup ## pictures of the report for docs/, with Chromium
	$(BIN)/python -m tests.screenshots

clean: ## remove what the targets made
	rm -rf $(VENV) .venv-benchmarks .mypy_cache .pytest_cache .ruff_cache dist docs/_build
