# Set-up, checks and the first sweep. `make` alone lists the targets; nothing is written outside of the checkout.
# requirements.lock pins every package with its hashes; installing it takes uv, or plain pip with INSTALLER=pip.

.DEFAULT_GOAL := help
.SUFFIXES:
.PHONY: help install sweep test test-heavy testbed testbed-down check bench lock wheel FORCE

PYTHON ?=
INSTALLER ?= uv
ARGS ?=
PART ?=

BIN := .venv/bin
STAMP := .venv/.installed
HOME_OF_VENV := .venv/.checkout

# Modules of a cluster leave PYTHONPATH behind, and some sites set PIP_USER; both would reach into the environment.
# Containers tend to forbid bytecode: then every process spends seconds compiling what it imports.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## List the targets
	@echo 'make TARGET [ARGS="..."] [PYTHON=python3.12] [INSTALLER=pip]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## Make .venv with everything in requirements.lock and this package; nothing to do, nothing done

sweep: install ## Search, train and report on the handwritten digits (ARGS: overrides such as key=value)
	@$(BIN)/difair sweep digits $(ARGS)

test: install ## Run the tests, each behaviour and each kind of fault once (ARGS: options of pytest, such as -k NAME or -m "not slow")
	@$(BIN)/python -m pytest -n auto --dist loadgroup $(ARGS)

test-heavy: install ## Repeat them in number (PART: one of those that it lists without one)
	@$(BIN)/python -m tests.heavy $(PART) $(ARGS)

testbed: ## Start a real SLURM of 4 nodes and 8 make-believe GPUs on this machine (Debian 12, root)
	@slurm/testbed/up

testbed-down: ## End its jobs and daemons and remove its folder (ARGS=--purge: its packages as well)
	@slurm/testbed/down $(ARGS)

check: install ## Lint, format, types and the layout of the code
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy
	@$(BIN)/python -m pytest -q tests/test_layout.py

bench: install ## Measure what needs no SLURM (under 10 minutes, on a quiet machine) into docs/benchmarks.md
	@set -e; for bench in augment train 'ticks --runs 100 1000'; do \
	    $(BIN)/python -m bench.$$bench --write docs/benchmarks.md; \
	done

lock: ## Write requirements.lock anew from pyproject.toml (ARGS=--upgrade: the newest versions allowed)
	@$(make_venv)
	@[ -x $(BIN)/uv ] || { $(install_uv); }
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	    --no-emit-index-url --custom-compile-command 'make lock' pyproject.toml --group lock -o requirements.lock $(ARGS)
	@echo "requirements.lock: $$(grep -c '^[a-z].*==' requirements.lock) packages; make install installs them."

wheel: install ## Build the wheel into dist/
	@$(BIN)/python -m hatchling build -t wheel

# The stamp is written last. It holds the path of the checkout: scripts of a copied or moved .venv would run the old one.
# An interpreter that is asked for by name is compared each time.
ifneq ($(shell cat $(STAMP) 2>/dev/null)$(PYTHON),$(CURDIR))
$(STAMP): FORCE
endif

# Without a recipe of its own, an interpreter that is gone (module unloaded, system upgraded) counts as changed.
$(BIN)/python: ;

$(STAMP): requirements.lock pyproject.toml $(BIN)/python
	@rm -f $@
	@$(make_venv)
	@$(install_lock)
	@$(BIN)/python -m pip install -q --no-index --no-deps --no-build-isolation -e .
	@echo "$(CURDIR)" > $@
	@echo "Ready: $(BIN)/difair. Next: make sweep"

FORCE:

# Only with a terminal: progress bars. The bars and the list of packages would fill a log.
quiet = $$([ -t 2 ] || echo -q)
pythons = $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3)
is_new_enough = import sys; sys.exit(sys.version_info < (3, 11))

# Keeps a sound .venv of this checkout, otherwise makes one: first choice is a Python that has venv and ensurepip.
define make_venv
trap 'exit 130' INT; \
if [ "$$(cat $(HOME_OF_VENV) 2>/dev/null)" = "$(CURDIR)" ] \
    && $(BIN)/python -c '$(is_new_enough)' 2>/dev/null \
    && { [ -z "$(PYTHON)" ] || [ "$$($(BIN)/python -V)" = "$$("$(PYTHON)" -V 2>&1)" ]; } \
    && $(BIN)/python -m pip --version >/dev/null 2>&1; then exit 0; fi; \
complete=; bare=; \
for python in $(pythons); do \
    "$$python" -c '$(is_new_enough)' >/dev/null 2>&1 || continue; \
    if "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then complete=$$python; break; fi; \
    bare=$${bare:-$$python}; \
done; \
if [ -z "$$complete$$bare" ]; then \
    echo "No Python 3.11 or newer among: $(subst ",,$(pythons))." >&2; \
    echo "Install one (on clusters often: module load python), or name it: make install PYTHON=/path/to/python3" >&2; \
    exit 2; \
fi; \
if [ -z "$$complete" ]; then \
    package=$$("$$bare" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
    if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
        echo "$$bare has no venv module. On Debian and Ubuntu: sudo apt-get install $$package, then make install." >&2; \
        echo "Or name another Python: make install PYTHON=/path/to/python3" >&2; \
        exit 2; \
    fi; \
    echo "$$bare has no venv module: installing $$package with apt-get."; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$$package" >/dev/null || exit 2; \
    complete=$$bare; \
fi; \
echo "Making .venv with $$complete ($$("$$complete" -c 'import platform; print(platform.python_version())'))."; \
"$$complete" -m venv --clear .venv && echo "$(CURDIR)" > $(HOME_OF_VENV)
endef

# uv comes from the lock as well, with its hashes; only to write the first lock it cannot.
define install_uv
if [ -s requirements.lock ]; then \
    awk '/^[a-z]/ {wanted = /^uv==/} wanted' requirements.lock > .venv/uv.txt \
        && $(BIN)/python -m pip install -q --require-hashes -r .venv/uv.txt; \
else \
    $(BIN)/python -m pip install -q 'uv>=0.9'; \
fi
endef

define install_lock
trap 'exit 130' INT; \
echo "Installing $$(grep -c '^[a-z].*==' requirements.lock) packages with $(INSTALLER); the first time that is some gigabytes."; \
if [ "$(INSTALLER)" = uv ]; then \
    { [ -x $(BIN)/uv ] || { $(install_uv); }; } \
        && $(BIN)/uv pip sync $(quiet) --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock && exit 0; \
    echo "uv could not install them (its message is above); trying plain pip, which has settings of its own."; \
fi; \
$(BIN)/python -m pip install $(quiet) --require-hashes -r requirements.lock
endef
