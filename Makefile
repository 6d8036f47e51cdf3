# The commands that people and CI run. Each makes the virtual environment that it needs.

PYTHON ?= python3
SERVE := .venv/serve
FULL := .venv/full
# Where `make convert` writes and `make serve` looks for a tag other than the demo.
TAG ?= demo
SOURCE ?=
JSON ?= benchmarks.json

export TAG

.PHONY: help serve convert demo test check format bench e2e e2e-all train-demo clean

help:  ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

serve: $(SERVE)/.done  ## Serve a model on port 8080: the demo, or TAG=… (PORT, HOST, MODEL_DIR and all settings work)
	$(SERVE)/bin/python -m inference.serve

convert: $(FULL)/.done  ## Convert a model: TAG=… from the hub, or SOURCE=<folder> from a local checkpoint
	$(FULL)/bin/python -m inference.convert "$(TAG)" $(if $(SOURCE),--source "$(SOURCE)")

test: $(FULL)/.done  ## All tests but those that need a Weaviate server
	$(FULL)/bin/python -m pytest

check: $(FULL)/.done  ## Format, lint, types, layers, shell scripts
	$(FULL)/bin/ruff format --check .
	$(FULL)/bin/ruff check .
	$(FULL)/bin/mypy
	$(FULL)/bin/lint-imports
	$(FULL)/bin/shellcheck .ci/run

format: $(FULL)/.done  ## Put the code into its format
	$(FULL)/bin/ruff check --fix .
	$(FULL)/bin/ruff format .

bench: $(FULL)/.done  ## Measure against the ceiling of this machine and against the reference
	$(FULL)/bin/python -m tests.benchmarks --weaviate --json "$(JSON)"

e2e: $(FULL)/.done  ## A real Weaviate server in front of the service
	$(FULL)/bin/python -m pytest tests/e2e

e2e-all: $(FULL)/.done  ## The same, with older Weaviate versions as well
	$(FULL)/bin/python -m pytest tests/e2e --weaviate-versions all

train-demo: $(FULL)/.done  ## Train the demo model anew and convert it
	$(FULL)/bin/python -m images.demo.train
	$(FULL)/bin/python -m inference.convert demo --out images/demo/model

clean:  ## Remove environments and caches, not models
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(SERVE)/.done: requirements/serve.txt
	$(PYTHON) -m venv --clear $(SERVE)
	$(SERVE)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/serve.txt
	@touch $@

$(FULL)/.done: $(wildcard requirements/*.txt)
	$(PYTHON) -m venv --clear $(FULL)
	$(FULL)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/test.txt
	@touch $@
