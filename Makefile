# Everything a user or contributor does is one command; `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help venv dev demo run test lint format man proto soak lab lab-deb12 lab-deb13 lab-host lab-arm64 lab-bench zdtm bench screenshots clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("dirtytop needs Python 3.11 or later, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(INSTALLED_DEV): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(INSTALLED) $@

venv: $(INSTALLED) ## install into .venv, nothing else

dev: $(INSTALLED_DEV)

demo: $(INSTALLED) ## start a workload with a known write rate and open the dashboard on it
	@$(BIN)/dirtytop demo

run: $(INSTALLED) ## open the dashboard: make run ARGS="1234"
	@$(BIN)/dirtytop $(ARGS)

test: $(INSTALLED_DEV) ## install what is needed, then run the whole test suite
	@$(BIN)/python -m tests.lab --host-programs || echo "test: without a CRIU of our own, for the reason above"
	PATH="$(CURDIR)/.lab/host/bin:$$PATH" $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: $(INSTALLED_DEV) ## ruff, mypy --strict, import-linter, and whether generated code is current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m engine.images.generate --check

format: $(INSTALLED_DEV) ## put the code into the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

man: $(INSTALLED_DEV) ## write a man page for each command into build/man
	@$(BIN)/python -m tui.man_pages build/man

proto: $(INSTALLED_DEV) ## generate engine/images/proto/*_pb2.py from the .proto files
	$(BIN)/python -m engine.images.generate

soak: $(INSTALLED_DEV) ## the long runs: every write failing, thousands of kills and of random chains
	@$(BIN)/python -m tests.lab --host-programs || echo "soak: without a CRIU of our own, for the reason above"
	PATH="$(CURDIR)/.lab/host/bin:$$PATH" $(BIN)/python -m pytest -n 2 -m soak --timeout 0 $(ARGS)

lab: $(INSTALLED_DEV) ## the engine's tests on other kernels, booted in QEMU (docs/lab.md)
	$(BIN)/python -m tests.lab $(ARGS)

lab-deb12: $(INSTALLED_DEV) ## the same on Debian 12's kernel alone: make lab-deb12 ARGS="-- -k rearming"
	$(BIN)/python -m tests.lab deb12 $(ARGS)

lab-deb13: $(INSTALLED_DEV) ## the same on Debian 13's kernel alone
	$(BIN)/python -m tests.lab deb13 $(ARGS)

lab-host: $(INSTALLED_DEV) ## the same on this machine's kernel, with Debian 13's CRIU
	$(BIN)/python -m tests.lab host $(ARGS)

lab-arm64: $(INSTALLED_DEV) ## the same on an emulated aarch64 kernel
	$(BIN)/python -m tests.lab arm64 $(ARGS)

zdtm: $(INSTALLED_DEV) ## CRIU's own tests on our checkpoints; DIRTYTOP_CRIU_TREE names a built tree of CRIU (docs/lab.md)
	$(BIN)/python -m tests.zdtm $(ARGS)

lab-bench: $(INSTALLED_DEV) ## measure what takes soft-dirty bits on Debian 12's and 13's kernels
	$(BIN)/python -m tests.lab deb12 deb13 --bench pre_dump $(ARGS)

bench: $(INSTALLED_DEV) ## measure, print a table, write bench.json
	$(BIN)/python -m tests.bench $(ARGS)

screenshots: $(INSTALLED_DEV) ## make screenshots/*.svg from a real run
	$(BIN)/python -m screenshots.make

clean: ## remove everything that was made here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
