# `make` lists what there is to do. Every target sets up what it needs first.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

ENV    := .venv
PY     := $(ENV)/bin/python
READY  := $(ENV)/.ready
PYTHAE := .venv-pythae/.ready
# An S3 server for tests.
SWIFT  := .venv-swift/.ready
# Test workers; each computes with one thread.
WORKERS ?= 2
PYTEST  := OMP_NUM_THREADS=1 $(PY) -m pytest
# What is shipped, and what is checked beside it.
PRODUCT := synaug_core synaug tasks flows deployments
CHECKED := $(PRODUCT) benchmarks docker scripts tests
# bandit leaves out what ruff's S rules check already, where each exception stands in the code with its reason:
# urlopen, random, subprocess (import and call), yaml.load.
BANDIT  := $(PY) -m bandit -q --skip B310,B311,B404,B506,B603

# An environment that was copied here from another folder would run that folder's code: set up anew.
ifneq ($(shell cat $(ENV)/.place 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

.PHONY: help setup demo test test-stack test-slow test-gpu faults security fuzz lint lint-docker format reference types stack stack-down bench results lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with exactly the locked packages (done by every target that needs it)

demo: $(READY) ## run the whole job on a small real data set, then say where to look
	$(ENV)/bin/synaug demo

test: $(READY) $(SWIFT) ## run the fast tests
	$(PYTEST) -m "not slow and not gpu and not faults" -n $(WORKERS) --dist loadfile

test-stack: $(READY) $(SWIFT) ## start every server, run a scheduled retraining, look at what it left (needs PostgreSQL)
	$(PYTEST) -m stack -x tests/docker tests/synaug_core/classify

test-slow: $(READY) $(SWIFT) ## run the tests that take minutes
	$(PYTEST) -m "slow and not gpu and not faults" --timeout 3600

test-gpu: $(READY) ## run the tests that need a GPU
	$(PYTEST) -m gpu --timeout 1800

faults: $(READY) $(SWIFT) ## kill, cut, fill and spoil what a retraining stands on; writes the table of docs/reliability.md
	$(PYTEST) tests/faults -m faults --faults-table docs/reliability.md

security: $(READY) ## feed all hostile inputs, look for secrets, ask for known vulnerabilities of the locked packages
	$(PYTEST) tests/security --timeout 3600
	$(PY) tests/security/audit.py requirements.lock

fuzz: $(READY) ## breed hostile inputs for everything that reads, an hour (SECONDS=60 for a minute)
	$(PY) tests/security/fuzz.py $(or $(SECONDS),3600)

lint: $(READY) ## check style and unsafe calls
	$(PY) -m ruff check $(CHECKED)
	$(PY) -m ruff format --check $(CHECKED)
	$(BANDIT) -r $(PRODUCT)

lint-docker: $(READY) ## check the container files and their scripts
	$(PYTEST) tests/docker/test_rules.py

format: $(READY) ## put the code into the agreed style
	$(PY) -m ruff check --fix $(CHECKED)
	$(PY) -m ruff format $(CHECKED)

reference: $(READY) ## write docs/configuration.md and its JSON schema from the configuration's sections
	$(PY) -m scripts.reference

types: $(READY) ## check types
	$(PY) -m mypy

stack: $(READY) $(SWIFT) ## run PostgreSQL, S3, MLflow, Prefect and a worker on this machine until Ctrl-C
	@exec $(PY) -m scripts.stack up

stack-down: $(READY) ## end what a killed `make stack` left behind
	@$(PY) -m scripts.stack down

bench: $(READY) $(PYTHAE) ## compare speed with peers, and the flow with its bare computation
	$(PY) -m benchmarks.vae_vs_pythae
	$(PY) -m benchmarks.latent_ascent
	$(PY) -m benchmarks.flow_overhead
	$(PY) -m benchmarks.classifier_loop
	$(PY) -m benchmarks.end_to_end --set classifier.steps=100 --set generator.steps=100

results: $(READY) ## measure again the tables of docs/results.md
	$(PY) -m benchmarks.results

COMPILE := VIRTUAL_ENV=$(CURDIR)/$(ENV) $(ENV)/bin/uv pip compile --quiet --generate-hashes --universal \
	--python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links $(UPGRADE)

# Versions already locked stay where pyproject.toml still allows them; UPGRADE=--upgrade takes the newest, and
# UPGRADE="--upgrade-package NAME" one package's.
lock: $(ENV)/bin/uv ## lock pyproject.toml's packages again (UPGRADE=--upgrade takes the newest versions)
	echo uv | $(COMPILE) --no-annotate -o requirements-uv.lock -
	$(COMPILE) --group dev -o requirements.lock pyproject.toml
	$(COMPILE) --constraints requirements.lock --extra dask -o requirements-runtime.lock pyproject.toml
	$(COMPILE) --constraints requirements.lock -o benchmarks/pythae.lock benchmarks/pythae.in
	$(COMPILE) -o tests/s3/swift.lock tests/s3/swift.in

clean: ## delete caches and build results; environments and .synaug stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(CHECKED) -type d -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements.lock requirements-uv.lock pyproject.toml scripts/make_env.sh
	@PYTHON="$(PYTHON)" sh scripts/make_env.sh $(ENV) requirements.lock --project
	@touch $@

# For `make lock` alone, where the lock itself may be what is broken.
$(ENV)/bin/uv:
	@PYTHON="$(PYTHON)" sh scripts/make_env.sh $(ENV) requirements-uv.lock

$(SWIFT): tests/s3/swift.lock requirements-uv.lock scripts/make_env.sh
	@PYTHON="$(PYTHON)" sh scripts/make_env.sh .venv-swift tests/s3/swift.lock
	@touch $@

$(PYTHAE): benchmarks/pythae.lock requirements-uv.lock scripts/make_env.sh
	@PYTHON="$(PYTHON)" sh scripts/make_env.sh .venv-pythae benchmarks/pythae.lock
	@touch $@
