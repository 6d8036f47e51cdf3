# The commands that people and CI run. Each makes the virtual environment that it needs.

PYTHON ?= python3
SERVE := .venv/serve
FULL := .venv/full
# Where `make convert` writes and `make serve` looks for a tag other than the demo.
TAG ?= demo
SOURCE ?=
JSON ?= benchmarks.json
MODELS ?= chosen

export TAG

# Some linters are published for x86-64 Linux only.
optional = if [ -x $(FULL)/bin/$(1) ]; then $(FULL)/bin/$(1) $(2); \
  else echo "NOT CHECKED: no $(1) for this machine"; [ -z "$$CI" ]; fi
trivy := config --quiet --skip-check-update --exit-code 1 --severity HIGH,CRITICAL --skip-dirs .venv,.cache,build
yaml := {extends: default, rules: {line-length: {max: 120}, document-start: disable, comments-indentation: disable}}
install := -m pip install --quiet --disable-pip-version-check
lock := $(FULL)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --custom-compile-command "make lock"

.PHONY: help serve convert test test-models check format bench images test-images test-container test-buildah \
  test-chart e2e e2e-all e2e-compose e2e-k8s lock train-demo clean

help:  ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

serve: $(SERVE)/.done  ## Serve a model on port 8080: the demo, or TAG=… (PORT, HOST, MODEL_DIR and all settings work)
	$(SERVE)/bin/multi2vec serve

convert: $(FULL)/.done  ## Convert a model: TAG=… from the hub, or SOURCE=<folder> from a local checkpoint
	$(FULL)/bin/multi2vec convert "$(TAG)" $(if $(SOURCE),--source "$(SOURCE)")

test: $(FULL)/.done  ## The tests that need no Weaviate, container engine, Helm or cluster (e2e and test-… are for those)
	@# On two cores, more threads of torch would wait for each other.
	OMP_NUM_THREADS=1 $(FULL)/bin/python -m pytest --numprocesses 2 --dist loadfile

test-models: $(FULL)/.done  ## Models of real size, converted and run: MODELS=chosen (a few), all, or tags with commas
	$(FULL)/bin/python -m pytest tests/models --models "$(MODELS)"

check: $(FULL)/.done  ## Format, lint, types, layers, shell scripts
	$(FULL)/bin/ruff format --check .
	$(FULL)/bin/ruff check .
	$(FULL)/bin/mypy
	$(FULL)/bin/lint-imports
	$(FULL)/bin/shellcheck .ci/run build_images.sh requirements/install.sh requirements/notices.sh
	$(FULL)/bin/yamllint --strict -d "$(yaml)" docker-compose.yml helm/Chart.yaml helm/values.yaml
	$(call optional,hadolint,Dockerfile)
	$(call optional,trivy,$(trivy) .)

format: $(FULL)/.done  ## Put the code into its format
	$(FULL)/bin/ruff check --fix .
	$(FULL)/bin/ruff format .

bench: $(FULL)/.done  ## Measure against the ceiling of this machine and against the reference
	$(FULL)/bin/python -m tests.benchmarks --weaviate --json "$(JSON)"

images:  ## Build container images: all recipes, or TAG=… (build_images.sh has more options)
	./build_images.sh $(if $(filter-out file,$(origin TAG)),"$(TAG)")

test-images: $(FULL)/.done  ## Build the images that the container tests run
	$(FULL)/bin/python -m tests.container.images

test-container: test-images  ## The images: size, files, user, hardening, start, vectors, end; and building them
	$(FULL)/bin/python -m pytest tests/container tests/images/engines --ignore tests/images/engines/test_buildah.py

test-buildah: $(FULL)/.done  ## An image built with buildah (some minutes, 20 GB of disk while it runs)
	$(FULL)/bin/python -m pytest tests/images/engines/test_buildah.py

test-chart: $(FULL)/.done  ## The Helm chart: lint, schema, and what it renders against Kubernetes' schemas (needs helm)
	$(FULL)/bin/python -m pytest tests/chart

e2e: $(FULL)/.done  ## A real Weaviate server in front of the service
	$(FULL)/bin/python -m pytest tests/e2e

e2e-all: $(FULL)/.done  ## The same, with older Weaviate versions as well
	$(FULL)/bin/python -m pytest tests/e2e --weaviate-versions all

e2e-compose: test-images  ## The same through docker-compose.yml
	$(FULL)/bin/python -m pytest tests/e2e --compose

e2e-k8s: $(FULL)/.done  ## The Helm chart in the cluster of KUBECONFIG, whose nodes have the images of test-images
	$(FULL)/bin/python -m pytest tests/e2e_k8s

lock: $(FULL)/.done  ## Write requirements/*.txt anew from pyproject.toml and requirements/test.in
	$(lock) pyproject.toml -o requirements/serve.txt
	$(lock) pyproject.toml --extra convert -c requirements/serve.txt -o requirements/convert.txt
	$(lock) pyproject.toml --extra tracing -c requirements/convert.txt -o requirements/tracing.txt
	$(lock) pyproject.toml --extra video -c requirements/convert.txt -o requirements/video.txt
	$(lock) pyproject.toml --extra convert --extra tracing --extra video requirements/test.in \
	  -c requirements/convert.txt -c requirements/tracing.txt -c requirements/video.txt -o requirements/test.txt

train-demo: $(FULL)/.done  ## Train the demo model anew and convert it
	$(FULL)/bin/python -m images.demo.train
	$(FULL)/bin/multi2vec convert demo --out images/demo/model

clean:  ## Remove environments and caches, not models
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# The locked packages; then this checkout itself, so that what is edited here is what runs.
%/.done: %/.locked pyproject.toml
	$*/bin/python $(install) --no-deps --editable .
	@touch $@

$(SERVE)/.locked: requirements/serve.txt
	$(PYTHON) -m venv --clear $(SERVE)
	$(SERVE)/bin/python $(install) --requirement requirements/serve.txt
	@touch $@

$(FULL)/.locked: $(wildcard requirements/*.txt)
	$(PYTHON) -m venv --clear $(FULL)
	$(FULL)/bin/python $(install) --requirement requirements/test.txt
	@touch $@
