# cxr-rebalance: every target below installs what it needs into .venv first.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo
LOCKS := build/manifests
# How long make fuzz takes, and how many interruptions make faults tries.
MINUTES ?= 20
COUNT ?= 500
# The interpreter of a venv with the loaders of others (benchmarks/stream.py says which).
PEERS ?=
# What a machine with PyTorch and the usual packages lacks, and the Python that it has.
GPU_PYTHON := 3.12
GPU_PACKAGES := torchxrayvision simplejpeg deflate msgspec lightning-fabric lightning-utilities
GPU_PLATFORMS := $(foreach v,2_17 2_24 2_26 2_27 2_28 2_31 2_34,--platform manylinux_$(v)_x86_64)
AXE := build/axe/node_modules/axe-core/axe.min.js

.DEFAULT_GOAL := help
.PHONY: help install demo manifests axe test long quick fuzz faults bench check docs gpu gpu-wheels clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | \
	  awk -F '\t' '{printf "  make %-10s %s\n", $$1, $$2}'

install: .venv/installed  ## create .venv and install the project with its tested versions

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install  ## build a dataset again, train three arms with two seeds, compare them; five minutes
	$(BIN)/xbuild rebuild manifests/nih1.json --out $(DEMO)
	$(BIN)/xbuild rebuild manifests/gan1.json --out $(DEMO)
	$(BIN)/xtrain experiment $(DEMO)/manifests/gan1.json --out $(DEMO)/runs --seeds 2 \
	  --arm none --arm oversample --arm gan --network resnet18 --init random --epochs 4 --batch 64 \
	  --schedule cosine --jobs 2
	$(BIN)/xbuild view $(DEMO)/manifests/nih1*.json  # -rebuilt, where a processor rounds otherwise
	$(BIN)/xbuild view $(DEMO)/manifests/gan1.json
	@echo
	@echo 'Did the synthetic images help?  $(DEMO)/runs/report/report.html'
	@echo "Radiographs by nih128:          $$(echo $(DEMO)/galleries/nih1*/index.html)"
	@echo 'Phantoms, real and synthetic:   $(DEMO)/galleries/gan1/index.html'

manifests: install  ## seal the datasets of manifests/ again, for this version; takes minutes
	rm -rf $(LOCKS)
	for regime in 1 10; do \
	  $(BIN)/xbuild synth --dataset demo --regime $$regime --holdout 0.005 0.02 --image-size 32 \
	    --out $(LOCKS) && \
	  $(BIN)/xbuild synth --dataset nih --real none --regime $$regime --name nih$$regime \
	    --target Cardiomegaly --target Mass --target Pleural_Thickening --out $(LOCKS) && \
	  for name in gan$$regime nih$$regime; do \
	    $(BIN)/xbuild verify $(LOCKS)/manifests/$$name.json && \
	    cp $(LOCKS)/manifests/$$name.json $(LOCKS)/manifests/$$name.parquet manifests/ || exit 1; \
	  done || exit 1; \
	done

axe: $(AXE)  ## fetch axe-core by npm: tests check with it that pages can be read by ear

$(AXE):
	npm install --silent --no-save --prefix build/axe axe-core@4.14.1

test: install  ## run all tests but the long ones, two at a time
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal \
	  -m 'not long'

long: install  ## run the long tests: a Ray cluster, a shard of 2 GiB, parts that are killed
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long

quick: install  ## run the tests that take less than ten seconds each
	CUDA_VISIBLE_DEVICES= $(BIN)/python -m pytest -m 'not slow and not long'

fuzz: install  ## read mutated inputs for MINUTES=20; those that fail are kept in build/fuzz
	-$(BIN)/pip install --quiet --only-binary=:all: atheris  # inputs follow coverage where it is there
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/run.py --minutes $(MINUTES)

faults: install  ## interrupt commands COUNT=500 times, and run each of them again
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(BIN)/python tests/faults/run.py --count $(COUNT)

bench: install  ## run all benchmarks, PEERS=PYTHON with other loaders; writes docs/benchmarks.md; half an hour
	$(BIN)/python benchmarks/bench.py --peers '$(PEERS)'

check: install  ## check lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install  ## write the pages that come from the code, and build the site into build/site
	$(BIN)/python docs/make/reference.py
	$(BIN)/python docs/make/schema.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

gpu:  ## check and time everything on a GPU by $(PYTHON) as it is; writes docs/gpu.md; ten minutes
	set -e; if ls build/wheels/*.whl >/dev/null 2>&1 && ! $(PYTHON) -c \
	    'import importlib.metadata as m; [m.version(n) for n in "cxr-rebalance $(GPU_PACKAGES)".split()]' \
	    2>/dev/null; then \
	  $(PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target build/gpu build/wheels/*.whl; \
	fi; \
	PYTHONPATH=$(CURDIR)/build/gpu:$$PYTHONPATH $(PYTHON) benchmarks/gpu/run.py

gpu-wheels:  ## collect in build/wheels what make gpu needs on a machine without a package registry
	rm -rf build/wheels
	$(PYTHON) -m pip download --quiet --no-deps --only-binary=:all: --python-version $(GPU_PYTHON) \
	  --implementation cp $(GPU_PLATFORMS) --platform manylinux2014_x86_64 \
	  --constraint constraints.txt --dest build/wheels $(GPU_PACKAGES)
	rm -rf build/lib
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir build/wheels .

clean:  ## remove the demo, caches and .venv
	rm -rf $(DEMO) .venv .mypy_cache .pytest_cache .ruff_cache *.egg-info
