# Every verb that people and CI use. Needs python3 (3.11 or later) with its headers, gcc and make;
# all else goes into .venv and build/.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS   ?=

.DELETE_ON_ERROR:
.PHONY: help venv install build test test-py test-ecosystem test-c model crash run-c-tests conformance lint format types demo bench bench-c instructions third-party clean FORCE

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 10

# ---- environment and build -----------------------------------------------------------------------

venv: $(VENV)/.made ## Make the virtual environment; PYTHON=python3.x chooses the interpreter

$(VENV)/.made:
	@command -v '$(PYTHON)' >/dev/null || \
	  { echo "forkful needs Python 3.11 or later, and '$(PYTHON)' is not there." >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "forkful needs Python 3.11 or later, and this is $$('$(PYTHON)' -V 2>&1): try make PYTHON=python3.12" >&2; exit 1; }
	@'$(PYTHON)' -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "'$(PYTHON)' makes no virtual environments: install your system's python3-venv package." >&2; exit 1; }
	@'$(PYTHON)' -m venv '$(VENV)'
	@$(PIP) install --upgrade pip 'setuptools>=77'
	@touch $@

NATIVE := $(sort $(wildcard native/core/*.[ch] native/bind/*.[ch]))

# The package is installed in place, so Python files never ask for a build. C files do, and so do
# other switches or a file that is gone, which build/config remembers.
BUILD_CONFIG := $(FORKFUL_DEBUG)|$(FORKFUL_SANITIZE)|$(CC)|$(CFLAGS)|$(NATIVE)
build/config: FORCE
	@mkdir -p $(@D)
	@echo '$(BUILD_CONFIG)' | cmp -s - $@ || echo '$(BUILD_CONFIG)' > $@

install: $(VENV)/.installed ## Install the package in place, with what it needs to run
$(VENV)/.installed: $(NATIVE) setup.py pyproject.toml build/config | $(VENV)/.made
	@$(PIP) install --no-build-isolation --editable .
	@touch $@

build: $(VENV)/.with-test ## The same, with what its tests need
$(VENV)/.with-%: pyproject.toml | $(VENV)/.installed
	@$(PIP) install 'forkful[$*]'
	@touch $@

# ---- tests ---------------------------------------------------------------------------------------

test: build test-c test-py ## Build, run the C tests, run the Python tests

# An instrumented extension needs its sanitizer's runtime before all else. Python never frees all.
RUNTIME_address := libasan.so
RUNTIME_thread := libtsan.so
RUNTIME := $(RUNTIME_$(FORKFUL_SANITIZE))
PRELOAD := $(if $(RUNTIME),LD_PRELOAD=$$($(CC) -print-file-name=$(RUNTIME)) PYTHONMALLOC=malloc \
  ASAN_OPTIONS=detect_leaks=0 $(SANITIZER_OPTIONS))

# Tests mostly wait for what another process does, so runs side by side, each with its share of the tests,
# take less time: one more than there are processors, but no more than four. With ARGS it is one run. Files in
# /dev/shm do not tell whose they are, so each run has one of its own; where that is not allowed, it is one run.
OWN_SHM := unshare $(if $(filter-out 0,$(shell id -u)),--map-root-user) --mount \
  sh -c 'mount -t tmpfs tmpfs /dev/shm && exec "$$@"' sh
SHARDS ?= $(shell n=$$(nproc); $(OWN_SHM) true 2>/dev/null && echo $$((n < 3 ? n + 1 : 4)) || echo 1)
PYTEST := $(BIN)/python -m pytest

test-py: build ## Run the Python tests; ARGS="-k queue" goes to pytest
	@$(BIN)/python -m compileall -q src tests # once, also where PYTHONDONTWRITEBYTECODE would have each process do it
ifeq ($(ARGS),)
	@$(MAKE) --no-print-directory --keep-going -j$(SHARDS) $(addprefix run-py-,$(shell seq $(SHARDS)))
else
	$(PRELOAD) $(PYTEST) $(ARGS)
endif

# The first is to be seen as it runs, the others when they have ended.
run-py-1: APART := $(if $(filter-out 1,$(SHARDS)),$(OWN_SHM))
run-py-1:
	@$(PRELOAD) $(APART) $(PYTEST) --shard 1/$(SHARDS)
run-py-%:
	@$(PRELOAD) $(OWN_SHM) $(PYTEST) --shard $*/$(SHARDS) >build/$@.log 2>&1; status=$$?; cat build/$@.log; exit $$status

test-ecosystem: $(VENV)/.with-ecosystem ## Run the tests with other libraries, PyTorch, pandas and pyarrow included
	$(BIN)/python -m pytest tests/ecosystem tests/contract/test_executor.py $(ARGS)

METHODS ?= fork spawn forkserver
conformance: install ## Judge by CPython's own tests; METHODS=fork, ARGS="-k Pool --jobs 2"
	$(BIN)/python -m tests.conformance --methods '$(METHODS)' $(ARGS)

test-c: ## Run each C test plain, under ThreadSanitizer, under Address- and UBSanitizer
	@$(MAKE) --no-print-directory --output-sync=target -j$$(nproc) run-c-tests

model: build ## Explore the model of the core's protocols deeply: some minutes, and some GB of memory
	FORKFUL_MODEL=deep $(BIN)/python -m pytest tests/model $(ARGS)

# The tests that the page names, besides those in the folders that are run whole.
PROMISED = $$(grep -o 'tests/[a-z_/]*\.py::[a-z0-9_]*' docs/failure-model.md | grep -v '^tests/\(crash\|deadlock\)/' | sort -u)

crash: build ## Kill 10,000 processes at random, and provoke each row of docs/failure-model.md; FORKFUL_SEED=n replays
	@seed=$${FORKFUL_SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; \
	echo "replay with: make crash FORKFUL_SEED=$$seed"; \
	FORKFUL_CRASH=full FORKFUL_SEED=$$seed $(BIN)/python -m pytest tests/crash tests/deadlock \
	  $(PROMISED) $(ARGS)

C_TESTS   := $(patsubst native/tests/%.c,%,$(sort $(wildcard native/tests/test_*.c)))
C_CORE    := $(patsubst native/core/%.c,%,$(sort $(wildcard native/core/*.c)))
C_HEADERS := $(wildcard native/core/*.h native/tests/*.h)
C_BASE    := -std=c11 -D_GNU_SOURCE -DFK_POINTS -g -pthread -Wall -Wextra -Werror -Inative/core -Inative/tests
C_LIMIT   := 300 # seconds for one test program

FLAVOURS := plain tsan asan
C_plain  := -O2
C_tsan   := -O1 -fsanitize=thread
C_asan   := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SANITIZER_OPTIONS = TSAN_OPTIONS=halt_on_error=1:die_after_fork=0 UBSAN_OPTIONS=print_stacktrace=1

# RUN_x is the command that programs of flavour x are run with; empty where none runs. gcc's libtsan
# cannot live with much address randomization, so it is switched off if the kernel lets us.
RUN_plain := env
ifeq ($(MAKECMDGOALS),run-c-tests)
include build/test-c/sanitizers.mk
endif
build/test-c/sanitizers.mk: Makefile build/config
	@mkdir -p $(@D) && rm -f $(@D)/probe-* $@.new
	@: $(foreach f,tsan asan,; echo 'int main(void) { return 0; }' \
	    | $(CC) -x c $(C_$f) -o $(@D)/probe-$f - 2>/dev/null; \
	  if setarch -R $(@D)/probe-$f 2>/dev/null; then echo 'RUN_$f := setarch -R'; \
	  elif (for i in 1 2 3 4 5 6 7 8 9 10; do $(@D)/probe-$f 2>/dev/null || exit 1; done); \
	    then echo 'RUN_$f := env'; \
	  else echo '$$(warning LEFT OUT: what $(CC) $(C_$f) builds does not run here)'; fi >> $@.new)
	@mv $@.new $@

define C_FLAVOUR
build/test-c/$(1)/core/%.o: native/core/%.c $$(C_HEADERS) build/config
	@mkdir -p $$(@D)
	@$$(CC) $$(C_BASE) $$(C_$(1)) -c $$< -o $$@
build/test-c/$(1)/%: native/tests/%.c $$(C_CORE:%=build/test-c/$(1)/core/%.o)
	@$$(CC) $$(C_BASE) $$(C_$(1)) $$^ -o $$@
run-$(1)-%: build/test-c/$(1)/% FORCE
	@echo "$$* ($(1))"
	@$(SANITIZER_OPTIONS) timeout --kill-after=10 $$(C_LIMIT) $$(RUN_$(1)) $$<
endef
$(foreach f,$(FLAVOURS),$(eval $(call C_FLAVOUR,$f)))
.PRECIOUS: $(foreach f,$(FLAVOURS),build/test-c/$f/core/%.o build/test-c/$f/%)

run-c-tests: $(foreach f,$(FLAVOURS),$(if $(RUN_$f),$(C_TESTS:%=run-$f-%)))

# ---- style ---------------------------------------------------------------------------------------

C_FILES := $(wildcard native/*/*.[ch])

lint: $(VENV)/.with-dev ## Check form and likely faults of Python and C
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

format: $(VENV)/.with-dev ## Bring Python and C into form
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_FILES)

types: $(VENV)/.with-dev ## Check the types of the package, and of programs that use it (mypy, strict)
	$(BIN)/mypy

# ---- use -----------------------------------------------------------------------------------------

# Python's own test data holds broken files on purpose. A map returns the number of items that
# failed (101: more than a hundred), so up to 101 is an answer and anything above is a fault.
DEMO := build/demo/results.jsonl
# The files of the standard library itself: not of what pip has installed beside it.
STDLIB_FILES := import pathlib, sysconfig; \
  here = pathlib.Path(sysconfig.get_path("stdlib")); \
  [print(f) for f in sorted(here.rglob("*.py")) if "site-packages" not in f.parts]

demo: install ## Map a function over every file of the standard library, on every core
	@mkdir -p $(dir $(DEMO)) && rm -f $(DEMO)
	@$(BIN)/python -c '$(STDLIB_FILES)' > $(DEMO).files
	@$(BIN)/forkful map examples/stdlib_report.py:report --lines $(DEMO).files --output $(DEMO) --progress auto; \
	status=$$?; [ $$status -le 101 ] || { echo "demo: forkful map ended with status $$status" >&2; exit 1; }; \
	want=$$(wc -l < $(DEMO).files); \
	have=$$(wc -l < $(DEMO)); \
	[ "$$have" -eq "$$want" ] || { echo "demo: $$have results for $$want files" >&2; exit 1; }; \
	echo "demo: $$have results in $(DEMO)"

bench: install $(VENV)/.with-bench ## Measure against the field's peers, side by side; figures go to build/bench.json
	@mkdir -p build
	$(BIN)/python -m bench --json build/bench.json $(ARGS)

instructions: install ## Count the instructions of the hot paths, against their budget; ARGS=--update sets it
	@$(BIN)/python bench/instructions.py --check $(ARGS)

bench-c: ## Measure the core alone, in nanoseconds
	@mkdir -p build
	@$(CC) $(C_BASE) -UFK_POINTS $(C_plain) native/tests/bench_core.c native/core/*.c -o build/bench_core
	@build/bench_core

THIRD_PARTY := build/third-party/venv
third-party: ## Run programs of other people, plain and by forkful run; ARGS="black dask" chooses
	@test -d $(THIRD_PARTY) || '$(PYTHON)' -m venv $(THIRD_PARTY)
	@$(THIRD_PARTY)/bin/python -m third_party --requirements > $(THIRD_PARTY)/wanted
	@$(THIRD_PARTY)/bin/python -m pip install --quiet --upgrade . -r $(THIRD_PARTY)/wanted
	@$(THIRD_PARTY)/bin/python -m third_party $(ARGS)

clean: ## Remove what was built; .venv stays
	rm -rf build dist src/*.egg-info src/forkful/*.so
	rm -f $(VENV)/.installed
	find src tests examples bench -name __pycache__ -prune -exec rm -rf {} +
