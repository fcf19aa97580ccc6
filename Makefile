# make bench   the mechanism-validation suite: results/mechanism/
# make test    lint, types and the test suite
# make test-gpu-offline   the GPU kernels, proved without a GPU (Python 3.11)
# make install-gpu   on a machine with a GPU; then test-gpu, profile, and bench and bench-kernels, which pick it
#                    (CUDA=cuda12 for older drivers)
# Each sets up .venv the first time; PYTHON names the interpreter (3.11, 3.12 or 3.13).
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
SOURCES := pyproject.toml setup.py CMakeLists.txt $(shell find csrc -name '*.cc' -o -name '*.h')
BENCH_ARGS ?= --quick
TEST_ARGS ?=
DEMO_ARGS ?=
PROFILE_ARGS ?= --kernels
CUDA ?= cuda13

.PHONY: train-demo bench bench-kernels gpu-report install-gpu test-gpu profile test pytest test-gpu-offline lint format sanitize docs clean

bench: $(VENV)/.bench
	$(PY) -m benchmarks.mechanism $(BENCH_ARGS)

bench-kernels: $(VENV)/.bench
	$(PY) -m benchmarks.kernels

# A model with memory learns what its controls cannot: results/train_demo/
train-demo: $(VENV)/.test
	$(PY) examples/train_demo.py $(DEMO_ARGS)

test: lint pytest

pytest: $(VENV)/.test
	$(PY) -m pytest -n 2 --dist worksteal --ignore=tests/gpu_offline $(TEST_ARGS)

test-gpu-offline: $(VENV)/.gpu-test
	$(PY) -m pytest -n 2 --dist worksteal tests/gpu_offline $(TEST_ARGS)

install-gpu: $(VENV)/.gpu

# On the GPU: a machine without one fails here, where it would only skip.
test-gpu: $(VENV)/.gpu
	CSSM_REQUIRE_GPU=1 JAX_PLATFORMS=cuda,cpu $(PY) -m pytest -m gpu tests/gpu $(TEST_ARGS)

# Under Nsight Systems: docs/profiling.md
profile: $(VENV)/.gpu
	$(PY) -m benchmarks.profile $(PROFILE_ARGS)

# What XLA compiles for H100, H200 and B200, and what our kernels move there: docs/gpu-report.md
gpu-report: $(VENV)/.gpu-test
	$(PY) -m benchmarks.gpu_report docs/gpu-report.md

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	git ls-files 'csrc/*.cc' 'csrc/*.h' 'csrc/*.cu' | xargs $(VENV)/bin/clang-format --dry-run --Werror

format: $(VENV)/.test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	git ls-files 'csrc/*.cc' 'csrc/*.h' 'csrc/*.cu' | xargs $(VENV)/bin/clang-format -i

# The C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer, then under ThreadSanitizer: what threads share does not
# depend on the instruction set, so one is enough for that.
sanitize: $(VENV)/.test
	for set in address,undefined thread; do \
	  $(VENV)/bin/cmake -DCSSM_BASELINE_ONLY=$$([ $$set = thread ] && echo ON || echo OFF) -S . -B build/sanitize-$$set -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(VENV)/bin/ninja \
	    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO='-O1 -g1' -DCSSM_PYTHON=OFF -DCSSM_TESTS=ON -DCSSM_SANITIZE=$$set && \
	  $(VENV)/bin/cmake --build build/sanitize-$$set && \
	  $(VENV)/bin/ctest --test-dir build/sanitize-$$set --parallel 2 --output-on-failure || exit 1; \
	done

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip

$(VENV)/.bench: $(VENV)/bin/python $(SOURCES)
	$(PY) -m pip install --quiet -e '.[bench]'
	touch $@

$(VENV)/.test: $(VENV)/bin/python $(SOURCES)
	$(PY) -m pip install --quiet -e '.[test]'
	touch $@ $(VENV)/.bench

$(VENV)/.gpu: $(VENV)/.test
	$(PY) -m pip install --quiet -C cmake.define.CSSM_CUDA=ON -e '.[triton,$(CUDA)]'
	touch $@

$(VENV)/.gpu-test: $(VENV)/.test
	$(PY) -m pip install --quiet -e '.[gpu-test]'
	touch $@

clean:
	rm -rf $(VENV) build results cssm_kernels/*.so *.egg-info
