# Everything sets itself up: CPython with headers, gcc, make and a package index are enough.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
SOURCES = $(shell find engine -name '*.pyx' -o -name '*.pxd')

.PHONY: demo test check bench mutants clean ext

$(STAMP): pyproject.toml $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/regiment demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

# Rebuild compiled modules in place; ONLY=regiment.sip.scanner,… for some of them.
ext: $(STAMP)
	REGIMENT_ONLY=$(ONLY) $(BIN)/python -c "from setuptools import setup; setup()" -q build_ext --inplace
