# sftkit. Two commands matter: `make demo` (the main job) and `make test` (everything the tests need, then all of them).
# Python 3.11 or newer is looked for; say `make demo PYTHON=/path/to/python` to choose.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt
# What pip is doing, on one line that it writes over; its warnings and errors come through as they are.
ONE_LINE := | awk '{ printf "\r\033[K%.78s", $$0; fflush() } END { printf "\r\033[K" }'
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

.PHONY: demo lab test check widgets docs data test-gpu bench matrix clean

demo: $(VENV)/.installed  ## the main job, end to end, in the terminal
	@$(BIN)/sftkit demo

lab: $(VENV)/.installed  ## JupyterLab with lesson 01; ARGS for JupyterLab, such as ARGS="--no-browser --port 8890"
	@$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) --ServerApp.root_dir=. \
		--LabApp.default_url=/lab/tree/notebooks/01_first_run.ipynb $(ARGS)

test: check  ## every test, two files at a time; PYTEST_ARGS to choose, such as PYTEST_ARGS="tests/report -x"
	@$(BIN)/python -m pytest -m "not gpu" $(or $(PYTEST_ARGS),-n 2 --dist loadfile)

check: $(VENV)/.installed-tests  ## style
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

test-gpu: $(VENV)/.installed-tests  ## only what needs a CUDA card
	@$(BIN)/python -m pytest -m gpu $(PYTEST_ARGS)

bench: $(VENV)/.installed-tests  ## against TRL, LLaMA-Factory, OpenRLHF (half an hour, 5 GB of peers); BENCH_ARGS="--rows FILE --repeat 3"
	@$(BIN)/python tests/benchmarks/cpu_training.py $(BENCH_ARGS)
	@$(BIN)/python tests/benchmarks/startup.py $(BENCH_ARGS)

matrix: $(VENV)/.installed-tests  ## the wheel in clean environments: every Python found, JupyterLab 4, Notebook 7; MATRIX_ARGS="--python PATH"
	@$(BIN)/python tests/benchmarks/install_matrix.py $(MATRIX_ARGS)

widgets: $(VENV)/.installed-tests  ## bundle the browser half of the widgets anew (Node from the PATH or from the test tools)
	@$(BIN)/python widgets/build.py

docs: $(VENV)/.installed  ## write docs/api.md anew from the docstrings
	@$(BIN)/python docs/make_api.py

data: $(VENV)/.installed  ## rebuild the small world, byte for byte
	@$(BIN)/python data/make_world.py

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "sftkit needs Python 3.11 or newer (with venv); none found. Say make PYTHON=/path/to/python"; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) (once)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing sftkit and what it stands on (about 2 GB, some minutes, once)"
	@$(PIP) torch $(ONE_LINE)
	@$(PIP) -e . $(ONE_LINE)
	@touch $@

$(VENV)/.installed-tests: $(VENV)/.installed
	@echo "Installing what the tests need"
	@$(PIP) -e ".[test]" $(ONE_LINE)
	@$(BIN)/python tests/browser/chromium.py
	@touch $@
