# Two commands are enough: `make study STUDY=gamma` and `make test`. `make` alone lists the rest.
# Needs make and Python 3.11 or newer; uses uv where it is on PATH, else venv and pip.
# What is installed is locked in requirements.txt: docs/decisions/0013-locked-installations.md.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

STUDY ?= gamma
EXTRAS ?= all
DEPS ?= locked
REPS ?=
JOBS ?=
ENGINE ?=
OUT ?=
ARGS ?=
ROUNDS ?=

# what decides an installation: the versions and the extras asked for
heavy := jax dask parquet peers
comma := ,
override EXTRAS := $(sort $(patsubst all,$(heavy),$(subst $(comma), ,$(EXTRAS))))
$(if $(filter-out $(heavy),$(EXTRAS)),$(error EXTRAS takes $(heavy), or all; not \
	$(filter-out $(heavy),$(EXTRAS))))
$(if $(filter-out locked newest lowest,$(DEPS)),$(error DEPS is locked, newest or lowest; not $(DEPS)))
joined = $(subst $() ,$(1),$(strip $(2)))
venv := .venv$(patsubst %,-%,$(filter-out locked,$(DEPS)))
bin := $(venv)/bin
stamp := $(venv)/.installed-$(or $(call joined,+,$(EXTRAS)),none)
stamp_dev := $(stamp)-with-dev

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
	@echo '              DEPS=newest the newest versions there are instead of the locked ones, in an'
	@echo '                          environment of their own; DEPS=lowest the lowest that are declared'

.PHONY: study
study: $(stamp)  ## Run STUDY and say where its report is
	@$(bin)/simstudy run '$(STUDY)' $(run_options)
	@if test -f '$(results)/report.html'; then echo 'Report: $(results)/report.html'; fi

.PHONY: test
test: $(stamp_dev)  ## Run the tests, the examples of the documentation among them
	@$(bin)/pytest $(ARGS)

# what no test of these folders does: start workers, compile much, or fit thousands of times
quick := tests/test_architecture.py tests/test_streams.py tests/test_warning_capture.py tests/files \
	tests/methods tests/records tests/user_code

.PHONY: check
check: lint  ## Style, types, imports and the quick tests: before every commit, within a minute
	@$(bin)/pytest -q $(quick) $(ARGS)

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
example: $(stamp)  ## Remake the published example, docs/example/gamma
	rm -rf docs/example/gamma
	@$(bin)/simstudy run gamma --out docs/example/gamma

.PHONY: bench
bench: $(stamp)  ## Time both engines against the hand-written scripts of benchmarks/
	@$(bin)/python benchmarks/bench.py $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

.PHONY: clean-cache
clean-cache: $(stamp)  ## Empty the cache of compiled programs
	@rm -rf "$$($(bin)/python -c 'from simstudy.engines.programs import cache_folder; print(cache_folder())')"

.PHONY: chaos
chaos: $(stamp)  ## Kill, damage and interrupt ROUNDS runs at random; tables must come out the same
	@$(bin)/python benchmarks/chaos.py $(if $(ROUNDS),--rounds $(ROUNDS))
	@$(bin)/python benchmarks/locks.py
	@$(bin)/python benchmarks/manifests.py

.PHONY: install
install: $(stamp)  ## Only create .venv and install

# editables is what hatchling asks for to install a folder in place
.PHONY: lock
lock:  ## Lock the newest versions, with the hashes of their files, in requirements.txt
	@command -v uv >/dev/null || { echo 'make lock needs uv: python3 -m pip install uv'; exit 1; }
	@cd "$$(mktemp -d)"; trap 'rm -r "$$PWD"' EXIT; \
	sed -n 's/^requires = \["\(.*\)"\]$$/\1/p' '$(CURDIR)/pyproject.toml' >build.in; \
	echo editables >>build.in; \
	lock() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate '$(CURDIR)/pyproject.toml' "$$@"; }; \
	lock build.in --all-extras >all.txt; \
	lock build.in --constraint all.txt >core.txt; \
	grep '==' all.txt | grep -vxFf core.txt | sed 's/==.*//' >more.txt; \
	known=$$(sed -n 's/==.*//p' core.txt | grep -vxFf more.txt | sed 's/^/--no-emit-package=/'); \
	{ echo '# Written by `make lock`: what each extra takes beyond the core, of one resolution'; \
	echo '# for all extras and every Python from 3.11 on. Extras repeat what they share.'; \
	echo '# part: core'; cat core.txt; \
	for extra in $(heavy) dev; do \
		echo "# part: $$extra"; lock --extra $$extra --constraint all.txt $$known; \
	done; } >requirements.txt; \
	mv requirements.txt '$(CURDIR)/requirements.txt'

.PHONY: clean
clean:  ## Remove .venv, caches and build outputs; results stay
	rm -rf .venv .venv-newest .venv-lowest build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find simstudy studies tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment holds exactly what was asked for: other extras than last time, or versions that are
# not locked, start it anew.
define install
	@others=$$(find $(venv) -maxdepth 1 -name '.installed-*' ! -name '$(notdir $(stamp))' ! -name '$(notdir $(stamp_dev))' 2>/dev/null || true); \
	if test -n "$${others}$(filter-out locked,$(DEPS))"; then rm -rf $(venv); fi
	@test -x $(bin)/python || $(MAKE) --no-print-directory $(bin)/python
	@echo 'Installing simstudy$(if $(1),[$(call joined,$(comma),$(1))]) into $(venv),' \
		'$(DEPS) versions (the first time takes minutes)'
	@install() { if command -v uv >/dev/null; then uv pip install --quiet --python $(bin)/python "$$@"; \
	else $(bin)/python -m pip install --quiet --disable-pip-version-check "$$@"; fi; }; \
	$(install_$(DEPS))
	@touch $@
endef

# the parts of requirements.txt that were asked for, then simstudy itself, which needs no more
define install_locked
awk -v asked=' core $(1) ' '/^# part:/ { on = index(asked, " " $$3 " ") } on' requirements.txt \
		>$(venv)/requirements.txt; \
	install --require-hashes --requirement $(venv)/requirements.txt; \
	install --no-deps --no-build-isolation --editable .
endef
install_newest = install --upgrade --editable '.[$(call joined,$(comma),$(1))]'
define install_lowest
command -v uv >/dev/null || { echo 'DEPS=lowest needs uv: python3 -m pip install uv'; exit 1; }; \
	install --resolution lowest-direct --editable '.[$(call joined,$(comma),$(1))]'
endef

# what is not locked may have changed since
.PHONY: anew
decides := pyproject.toml $(if $(filter locked,$(DEPS)),requirements.txt,anew)

$(stamp): $(decides)
	$(call install,$(EXTRAS))

$(stamp_dev): $(decides)
	$(call install,$(EXTRAS) dev)
	@touch $(stamp)

# the interpreter; --seed gives uv's environments a pip, for the day that uv is gone
$(bin)/python:
	@if command -v uv >/dev/null; then \
		uv venv --quiet --seed --python '$(or $(PYTHON),>=3.11)' --clear $(venv); exit; fi; \
	for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		echo "Creating $(venv) with $$("$$python" --version)"; \
		"$$python" -c 'import ensurepip' 2>/dev/null && { "$$python" -m venv --clear $(venv); exit; }; \
		"$$python" -m pip --version >/dev/null 2>&1 && { \
			"$$python" -m venv --clear --without-pip $(venv); \
			"$$python" -m pip --python $(bin)/python install --quiet pip; exit; }; \
		echo "$$python can make no environment: it has neither ensurepip nor pip."; \
		echo "On Debian and Ubuntu: apt-get install $$(basename "$$python")-venv"; exit 1; \
	done; \
	echo 'No Python 3.11 or newer found on PATH. Install one (Debian 12: apt-get install python3 python3-venv)'; \
	echo 'or name it: make PYTHON=/path/to/python3.12 ...'; exit 1
