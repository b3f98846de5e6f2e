# Everything sets itself up: CPython with headers, gcc, make and a package index are enough.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
SOURCES := $(shell find engine -name '*.pyx' -o -name '*.pxd')
COMPILED = $(subst /,.,$(patsubst engine/%.pyx,%,$(filter %.pyx,$(SOURCES))))
TESTS ?= tests
ARGS ?=

.PHONY: demo test check bench mutants clean ext

$(STAMP): pyproject.toml $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/regiment demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS) $(TESTS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/cython-lint engine
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --ignore-unused-allowlist --allowlist tests/stubtest.allow $(COMPILED)

bench: $(STAMP)
	$(BIN)/python -m bench.run

mutants: $(STAMP)
	$(BIN)/python tests/mutants/run.py

# Rebuilds compiled modules in place; ONLY=regiment.sip.scanner,… for some of them.
ext:
	REGIMENT_ONLY=$(ONLY) $(BIN)/python -c "from setuptools import setup; setup()" -q build_ext --inplace

clean:
	rm -rf $(VENV) build dist engine/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find engine -name '*.so' -delete -o -name '*.c' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
