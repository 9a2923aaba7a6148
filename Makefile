# Two commands are enough: `make study STUDY=gamma` and `make test`. `make` alone lists the rest.
# Needs make and Python 3.11 or newer; uses uv where it is on PATH, else venv and pip.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

STUDY ?= gamma
EXTRAS ?= all
REPS ?=
JOBS ?=
ENGINE ?=
OUT ?=
ARGS ?=
ROUNDS ?=

# what decides an installation: the extras asked for, and pyproject.toml
comma := ,
override EXTRAS := $(subst $(comma), ,$(EXTRAS))
extras := $(subst $() ,$(comma),$(sort $(EXTRAS)))
stamp := .venv/.installed-$(subst $(comma),+,$(or $(extras),none))
stamp_dev := $(stamp)-with-dev
bin := .venv/bin

run_options = $(if $(REPS),--replicates $(REPS)) $(if $(JOBS),--jobs $(JOBS)) \
	$(if $(ENGINE),--engine $(ENGINE)) $(if $(OUT),--out '$(OUT)') $(ARGS)
results = $(or $(OUT),results/$(basename $(notdir $(STUDY))))

.PHONY: help
help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile
	@echo
	@echo 'study takes   STUDY=gamma a study of studies/, or the path of your own'
	@echo '              REPS=2000   replicates per scenario (default: what the study says)'
	@echo '              JOBS=2      worker processes (default: all cores)'
	@echo '              ENGINE=loop which engine (default: auto)'
	@echo '              OUT=DIR     where the results go (default: results/<study>)'
	@echo '              ARGS=...    anything else that simstudy run takes'
	@echo 'everything    EXTRAS=     leaves the heavy extras out; EXTRAS=jax,parquet takes some (default: all)'

.PHONY: study
study: $(stamp)  ## Run STUDY and say where its report is
	@$(bin)/simstudy run '$(STUDY)' $(run_options)
	@if test -f '$(results)/report.html'; then echo 'Report: $(results)/report.html'; fi

.PHONY: test
test: $(stamp_dev)  ## Run the tests, the examples of the documentation among them
	@$(bin)/pytest $(ARGS)

.PHONY: lint
lint: $(stamp_dev)  ## Check style, types and who imports whom
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports --no-logo

.PHONY: format
format: $(stamp_dev)  ## Lay out the code and mend what can be mended by itself
	$(bin)/ruff check --fix
	$(bin)/ruff format

.PHONY: example
example: $(stamp)  ## Remake the published example, results/gamma
	rm -rf results/gamma
	@$(bin)/simstudy run gamma

.PHONY: bench
bench: $(stamp)  ## Time both engines against the hand-written scripts of benchmarks/
	@$(bin)/python benchmarks/bench.py $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

.PHONY: clean-cache
clean-cache: $(stamp)  ## Empty the cache of compiled programs
	@rm -rf "$$($(bin)/python -c 'from simstudy.programs import cache_folder; print(cache_folder())')"

.PHONY: chaos
chaos: $(stamp)  ## Kill and damage ROUNDS runs at random; every table must come out the same
	@$(bin)/python benchmarks/chaos.py $(if $(ROUNDS),--rounds $(ROUNDS))
	@$(bin)/python benchmarks/locks.py

.PHONY: install
install: $(stamp)  ## Only create .venv and install

.PHONY: clean
clean:  ## Remove .venv, caches and build outputs; results stay
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find simstudy studies tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment holds exactly what was asked for: other extras than last time start it anew.
define install
	@others=$$(find .venv -maxdepth 1 -name '.installed-*' ! -name '$(notdir $(stamp))' ! -name '$(notdir $(stamp_dev))' 2>/dev/null || true); \
	if test -n "$$others"; then rm -rf .venv; fi
	@test -x $(bin)/python || $(MAKE) --no-print-directory .venv/bin/python
	@echo 'Installing simstudy$(if $(1),[$(1)]) into .venv (the first time takes minutes)'
	@if command -v uv >/dev/null; \
	then uv pip install --quiet --python $(bin)/python --editable '.$(if $(1),[$(1)])'; \
	else $(bin)/python -m pip install --quiet --disable-pip-version-check --editable '.$(if $(1),[$(1)])'; fi
	@touch $@
endef

$(stamp): pyproject.toml
	$(call install,$(extras))

$(stamp_dev): pyproject.toml
	$(call install,$(if $(extras),$(extras)$(comma))dev)
	@touch $(stamp)

# the interpreter of .venv; --seed gives uv's environments a pip, for the day that uv is gone
.venv/bin/python:
	@if command -v uv >/dev/null; then uv venv --quiet --seed --python '>=3.11' --clear .venv; exit; fi; \
	for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		echo "Creating .venv with $$("$$python" --version)"; \
		"$$python" -c 'import ensurepip' 2>/dev/null && { "$$python" -m venv --clear .venv; exit; }; \
		"$$python" -m pip --version >/dev/null 2>&1 && { \
			"$$python" -m venv --clear --without-pip .venv; \
			"$$python" -m pip --python .venv/bin/python install --quiet pip; exit; }; \
		echo "$$python can make no environment: it has neither ensurepip nor pip."; \
		echo "On Debian and Ubuntu: apt-get install $$(basename "$$python")-venv"; exit 1; \
	done; \
	echo 'No Python 3.11 or newer found on PATH. Install one (Debian 12: apt-get install python3 python3-venv)'; \
	echo 'or name it: make PYTHON=/path/to/python3.12 ...'; exit 1
