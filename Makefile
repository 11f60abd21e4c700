# make up     set everything up, run the service here, have a demo cache to talk to
# make test   set everything up, run every test
# make simulate SEEDS=20000   let things go wrong, in virtual time
# make kills KILLS=50   kill real processes at random instants, while groups are changed, slots move, and snapshots are made
# make scaling   let data and load of a group grow and shrink, and its shards follow
# make restores KEYS=1500000   compare every key of large caches with what their snapshots bring back
# make tools     tools that were made for ElastiCache, in all variants
# ARGS='...' is handed on by up, test and bench.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
SEEDS ?= 2000
KILLS ?= 50
KEYS ?= 1500000
RUNTIME := .venv/runtime.installed
TESTING := .venv/testing.installed
# Files side by side, more of them than there are cores: most tests wait for engines.
EVERY_TEST = --quiet --durations 15 --numprocesses $(shell expr $$(nproc 2>/dev/null || echo 2) + 1) --dist loadfile
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help up test test-long simulate kills backup-kills scaling restores tools check bench docs wheel lock clean

help:
	@echo 'make up      set everything up, run the service in the foreground with a demo cache (Ctrl-C stops it)'
	@echo 'make test    set everything up, run every test (as root on Debian it installs the engines that tests need)'
	@echo 'make test-long   the variants that CI leaves out for their time: more engines, more points to die at'
	@echo 'make simulate SEEDS=20000   the control plane against faults in virtual time; prints the seeds that fail'
	@echo 'make kills KILLS=50   the control plane and engines killed at random instants; TEST_SEED=n repeats a run'
	@echo 'make backup-kills KILLS=100   whoever takes part in backups and restores killed at random instants'
	@echo 'make scaling   a load that rises and falls: shards go from two to four and back while clients go on; takes minutes'
	@echo 'make restores KEYS=1500000   caches with so many keys of all types restored into 1, 3 and 5 shards; every key is compared'
	@echo 'make tools   Terraform and other tools that were made for ElastiCache, in all variants: they wait for minutes'
	@echo 'make check   format, lint, types, import contracts, style, generated documents'
	@echo 'make bench   measure, print a table'
	@echo 'make docs    write the generated documents anew'
	@echo 'make wheel   a package in dist/, with our modules for engines compiled: no compiler is needed where it is installed'
	@echo 'make lock    resolve requirements/*.txt anew'
	@echo 'make clean   remove the virtual environment and everything built'

$(BIN)/python:
	@PYTHON='$(PYTHON)' scripts/make-venv .venv

$(RUNTIME): requirements/runtime.txt pyproject.toml | $(BIN)/python
	@echo 'Installing the locked packages into .venv ...'
	@$(INSTALL) --require-hashes --only-binary :all: --requirement requirements/runtime.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(TESTING): requirements/test.txt $(RUNTIME)
	@echo 'Installing the tools that tests need into .venv ...'
	@$(INSTALL) --require-hashes --only-binary :all: --requirement requirements/test.txt
	@touch $@

up: $(RUNTIME)
	@exec $(BIN)/cachefleet up $(ARGS)

test: $(TESTING)
	@scripts/install-test-engines
	@scripts/install-test-clients
	@$(BIN)/python -m pytest $(or $(ARGS),$(EVERY_TEST))

test-long: $(TESTING)
	@scripts/install-test-engines
	@scripts/install-test-clients
	@$(BIN)/python -m pytest -m long $(or $(ARGS),$(EVERY_TEST))

simulate: $(TESTING)
	@$(BIN)/python -m tests.simulation --seeds $(if $(findstring :,$(SEEDS)),$(SEEDS),0:$(SEEDS)) $(ARGS)

kills: $(TESTING)
	@scripts/install-test-engines
	@TEST_KILLS=$(KILLS) $(BIN)/python -m pytest -s tests/faults/test_control_plane_kills.py tests/faults/test_backup_kills.py \
		tests/faults/test_fault_resharding.py $(ARGS)

backup-kills: KILLS = 100
backup-kills: $(TESTING)
	@scripts/install-test-engines
	@TEST_KILLS=$(KILLS) $(BIN)/python -m pytest -s tests/faults/test_backup_kills.py -k random $(ARGS)

scaling: $(TESTING)
	@scripts/install-test-engines
	@TEST_SCALING=1 $(BIN)/python -m pytest -s tests/faults/test_auto_scaling.py $(ARGS)

restores: $(TESTING)
	@scripts/install-test-engines
	@TEST_KEYS=$(KEYS) $(BIN)/python -m pytest -s tests/engine/test_large_restores.py $(ARGS)

tools: $(TESTING)
	@scripts/install-test-engines
	@scripts/install-test-clients
	@TEST_TOOLS=1 $(BIN)/python -m pytest --numprocesses 3 tests/engine/test_terraform.py tests/engine/test_terraform_caches.py \
		tests/engine/test_ansible.py $(ARGS)

check: $(TESTING)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy src tests scripts $(if $(wildcard bench/*.py),bench)
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --quiet tests/test_tidy.py
	$(BIN)/python -m scripts.generate_docs --check

bench: $(TESTING)
	@scripts/install-test-engines
	@$(BIN)/python -m bench $(ARGS)

docs: $(TESTING)
	@$(BIN)/python -m scripts.generate_docs

wheel: $(RUNTIME)
	@command -v $${CC:-cc} >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null || \
		{ echo 'make wheel: needs a C compiler. On Debian: apt-get install gcc libc6-dev' >&2; exit 1; }
	@rm -rf build/lib* build/bdist*
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

lock:
	@PYTHON='$(PYTHON)' scripts/lock

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	find src tests bench -name __pycache__ -prune -exec rm -rf {} +
