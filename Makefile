# Everything sets itself up: CPython with headers, gcc, make and a package index are enough.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
SOURCES := $(shell find engine -name '*.pyx' -o -name '*.pxd')
COMPILED = $(subst /,.,$(patsubst engine/%.pyx,%,$(filter %.pyx,$(SOURCES))))
TESTS ?= tests
IN_MEMORY = $(addprefix tests/,sip timing uac registrar metrics conformance test_datagram.py)
ARGS ?=

.PHONY: demo test check bench mutants sanitize clean ext

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
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/cython-lint engine
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --ignore-unused-allowlist --allowlist tests/stubtest.allow $(COMPILED)

bench: $(STAMP)
	$(BIN)/python -m bench.run

mutants: $(STAMP)
	$(BIN)/python tests/mutants/run.py

# The in-memory tests on modules built with ASAN and UBSan, in a copy that is removed afterwards.
# Python's own memory is malloc's here, so that every overrun is seen; leaks are not looked for. A
# finding ends the process that runs the test, and its report is shown (-s).
sanitize: $(STAMP)
	set -e; copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
	cp -r engine tests pyproject.toml README.md LICENSE "$$copy"; cd "$$copy"; \
	find engine \( -name '*.so' -o -name '*.c' \) -delete; export PYTHONPATH="$$copy/engine"; \
	REGIMENT_SANITIZE=address,undefined $(abspath $(BIN)/python) \
		-c "from setuptools import setup; setup()" -q build_ext --inplace -j 2; \
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	PYTHONMALLOC=malloc $(abspath $(BIN)/python) -m pytest -s -n 2 --dist loadfile \
		--max-worker-restart=0 $(IN_MEMORY)

# Rebuilds compiled modules in place; ONLY=regiment.sip.scanner,… for some of them.
ext:
	REGIMENT_ONLY=$(ONLY) $(BIN)/python -c "from setuptools import setup; setup()" -q build_ext --inplace

clean:
	rm -rf $(VENV) build dist engine/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find engine -name '*.so' -delete -o -name '*.c' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
