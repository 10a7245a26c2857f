# Every target sets up what it needs first. `make help` is printed from the comments behind `##`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo unit test images images-test cluster-test cluster-test-node spark-test crds cluster cluster-down check format fuzz bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## the virtual environment .venv, from the lock file

# The interpreter is checked before anything is downloaded; a half-made environment has no .ready and is made again.
# An environment behind a link is another checkout's: setting it up would empty it (venv --clear follows the link).
$(READY): requirements.lock setup.cfg pyproject.toml
	@[ ! -L $(VENV) ] || { echo "$(VENV) is a link to $$(readlink $(VENV)), which is not this checkout's to set up; \
	  remove the link, or set that one up in its own checkout" >&2; exit 1; }
	@rm -f $@
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  f"Serin needs Python 3.11 to 3.13; {sys.executable} is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12 ...")'
	@echo "setting up $(VENV) (once; about 1.6 GB of packages)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv~=0.13
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps -e .
	@out=$$(env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c 'import $(IMPORTED)' 2>&1) || { echo "$$out"; exit 1; }
	@touch $@

# One process imports what is ever imported, so that its bytecode is kept: about 6,200 of 37,000 modules. It costs 15 s of
# compiling once, where all of site-packages takes 80 s, and saves every process 4 s of 12 that imports Feast where the
# environment forbids writing bytecode (PYTHONDONTWRITEBYTECODE), as many images do.
IMPORTED := boto3, duckdb, evidently, feast.infra.online_stores.sqlite, kfp.compiler, kfp.local, kserve, \
  matplotlib.pyplot, mlflow.store.tracking.sqlalchemy_store, mlflow.store.model_registry.sqlalchemy_store, \
  rich.progress, scipy.stats, skops.io, sklearn.ensemble, sklearn.linear_model, typer, uvicorn, xgboost, \
  pipelines.cli, pipelines.training, predictors.composition, serin.platform

demo: $(READY) ## the whole loop on this machine, from nothing, in a few minutes
	@$(BIN)/serin demo

unit: $(READY) ## the fast tests alone: no server, no check
	@$(BIN)/python -m pytest tests/unit -q -n 2 --dist loadfile

test: $(READY) check ## every test, from nothing
	@tests/services.sh
	@$(BIN)/python -m pytest -n 2 --dist loadfile

cluster-test: $(READY) ## documents and rollouts on a real control plane (needs Go and the rights of root)
	@tests/cluster/packages.sh
	@tests/cluster/build.sh
	@PATH="$$PWD/$(BIN):$$PATH" tests/cluster/run.sh $(BIN)/python -m pytest tests/cluster -q --ignore=tests/cluster/node

cluster-test-node: $(READY) ## the images as pods on a node of that control plane (make images-test first)
	@tests/services.sh
	@tests/cluster/packages.sh node
	@tests/cluster/build.sh node
	@$(BIN)/python -m tests.cluster.node.images
	@PATH="$$PWD/$(BIN):$$PATH" tests/cluster/run.sh $(BIN)/python -m pytest tests/cluster/node -q

spark-test: $(READY) ## XGBoost and windows on Spark, in local mode (Java 17 or later; an environment of its own)
	@tests/spark/setup.sh
	@.venv-spark/bin/python -m pytest tests/spark -q -m spark

crds: ## download the CRDs of the pinned releases, which `make test` checks the manifests against
	@tests/manifests/crds.sh

cluster: ## a kind cluster on this machine with all that Serin needs (Docker, kind, kubectl, helm; make images first)
	@infra/kind/up.sh

cluster-down: ## remove that cluster
	@infra/kind/down.sh

check: $(READY) ## format, lint, types, import rules
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@out=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$out"; exit 1; }

fuzz: export SERIN_FUZZ ?= 10
fuzz: $(READY) ## ten times the requests, and the examples, that `make test` makes up, and new ones (SERIN_FUZZ=N: N times)
	@$(BIN)/python -m pytest tests/integration/test_fuzz.py
	@$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=default -n 2 tests/unit tests/integration/test_keys.py

bench: $(READY) ## benchmarks, printed as ratios against the references; make bench PART=serving for one of them
	@tests/bench/packages.sh
	@$(BIN)/python -m tests.bench $(PART)

# The image that Serin's are built on, with its digest; infra/README.md says how to find it.
BASE ?=
images: ## the two container images, by docker, podman or buildah: make images BASE=NAME@sha256:DIGEST
	@$(PYTHON) infra/images.py --base "$(BASE)" --engine "$(ENGINE)" --registry "$(REGISTRY)" --tag "$(TAG)" \
	  --workspace "$(WORKSPACE)" --save "$(SAVE)"

images-test: $(READY) ## build the images from nothing and run what was built (Linux, root; not part of `make test`)
	@tests/images/tools.sh
	@tests/services.sh
	@$(BIN)/python -m pytest tests/images -m images

format: $(READY) ## rewrite the code in the house format
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix .

# All but spark, which has an environment and a lock file of its own.
EXTRAS := serving tracing pipelines local test dev
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-annotate --custom-compile-command 'make lock'

lock: $(READY) ## resolve setup.cfg anew into requirements.lock
	@$(LOCK) $(EXTRAS:%=--extra %) setup.cfg -o requirements.lock
	@sed -n '/^spark =/,/^[^ ]/s/^    *//p' setup.cfg | $(LOCK) -c requirements.lock - -o requirements-spark.lock

clean: ## remove the environment and all state in .serin
	@rm -rf $(VENV) $(VENV)-spark $(VENV)-bench-* .serin build *.egg-info .pytest_cache .ruff_cache .mypy_cache
