# From a fresh clone: `make demo` shows what bitsmith does, `make test` runs every test. Everything is installed into .venv.
# Where pip would fetch a torch built for GPUs:  make test PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
PIP_FLAGS ?=
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_FLAGS)

.PHONY: demo test lint types clean

demo: $(VENV)/base
	$(BIN)/bitsmith demo

test: $(VENV)/all
	$(BIN)/python -m pytest -n $(WORKERS)

lint: $(VENV)/all
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(VENV)/all
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The files base and all say what is installed, so that it is done once: again only when what they depend on changes.
$(VENV)/setuptools: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) setuptools
	@touch $@

BUILT_FROM := pyproject.toml $(wildcard setup.py src/bitsmith/*/*.c)

$(VENV)/base: $(VENV)/setuptools $(BUILT_FROM)
	$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(VENV)/all: $(VENV)/setuptools $(BUILT_FROM)
	$(INSTALL) --no-build-isolation --editable ".[dev,torch]"
	@touch $@ $(VENV)/base
