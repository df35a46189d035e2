# The doors of the repository. `make demo` and `make test` each work as the first command after a clone.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AUDIT := .venv-audit
# The check for a newer pip costs time and is no concern of ours; errors of pip are shown.
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOCK := pip compile --quiet $(if $(UPGRADE),--upgrade) --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate
PROJECT := pyproject.toml --extra postgres --extra mqtt --extra lambda --extra admin --extra otel
# The clients of the secrets managers are tried by the tests, and installed where one of them is used.
MANAGERS := --extra aws --extra gcp --extra azure --extra vault --extra alerts

.PHONY: help
help:
	@echo 'make demo [API_VERSION=2026-09] [KEEP=1]   watch a stand-in HubSpot and Stripe become the same; keep them up'
	@echo 'make test        format, lint, types, import rules and all tests'
	@echo 'make unit        the tests that need no process, no Postgres and no simulation, in about a minute'
	@echo 'make coverage    the same with the engine under simulation; shows the branch coverage of core and sync'
	@echo 'make wheel-test  build the wheel and try it in a fresh environment outside this folder'
	@echo 'make mosquitto   install the MQTT broker of the tests, if it is missing'
	@echo 'make chromium    install the browser of the tests, if it is missing'
	@echo 'make pgbouncer   install the pooler of the tests, if it is missing'
	@echo 'make prometheus  install promtool for the tests, if it is missing'
	@echo 'make lint        format, lint, types and import rules'
	@echo 'make fmt         format, and repair what can be repaired'
	@echo 'make simulate SEEDS=N [SEED_START=K]   the engine under a virtual clock, with crashes, lost answers and disorder'
	@echo 'make mutants [SEEDS=N]                 how soon the simulator finds each planted defect'
	@echo 'make chaos KILLS=N [SEED=K] [DATABASE=sqlite|postgres|both]   kill real processes under traffic, and check'
	@echo 'make bench       the web door, a steady load and the burst on this machine (minutes); more: tests/bench/README.md'
	@echo 'make screenshots   the pictures of the admin pages in docs/pictures'
	@echo 'make sbom        the installed parts with their hashes, as CycloneDX: dist/wanesync-sbom.json'
	@echo 'make audit       bandit, security rules, known vulnerabilities where their service can be reached'
	@echo 'make lock [UPGRADE=1]   write the two lock files anew, with UPGRADE=1 from the newest releases'
	@echo 'make clean       remove what these commands made'

.PHONY: demo
demo: $(VENV)/.runtime
	@$(BIN)/wanesync demo $(if $(API_VERSION),--api-version $(API_VERSION)) $(if $(KEEP),--keep)

.PHONY: test
# Four at a time on two cores: the tests with real processes wait more than they compute.
test: lint mosquitto chromium pgbouncer prometheus
	@$(BIN)/pytest -n 4 --dist worksteal

# What the tests need of the system's packages; a run that may not install a piece fails with its name.
define install_package
	@PATH=$$PATH:/usr/sbin:/usr/local/sbin; command -v $(1) > /dev/null || { \
		echo 'Installing $(1), $(2) of the tests ...'; \
		[ "$$(id -u)" = 0 ] && as= || as='sudo -n'; \
		{ $$as apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as apt-get install -y -qq --no-install-recommends \
			$(1) > /dev/null; } || { \
			echo '$(1) is missing, and is needed by the tests: apt-get install $(1)' >&2; exit 2; }; }
endef

.PHONY: mosquitto
mosquitto:
	$(call install_package,mosquitto,the MQTT broker)

.PHONY: chromium
chromium:
	$(call install_package,chromium,the browser)

.PHONY: pgbouncer
pgbouncer:
	$(call install_package,pgbouncer,the pooler in front of Postgres)

.PHONY: prometheus
prometheus:
	$(call install_package,prometheus,the tool that reads alert rules)

.PHONY: unit
unit: $(VENV)/.dev
	@$(BIN)/pytest -n 2 --dist worksteal -m 'not slow'

.PHONY: coverage
coverage: $(VENV)/.dev
	@$(BIN)/pytest -n 2 --dist worksteal -m 'not slow or simulation' --cov --cov-report=term:skip-covered

.PHONY: wheel-test
wheel-test: $(VENV)/.runtime
	@PYTHON=$(PYTHON) .ci/wheel

.PHONY: simulate
simulate: $(VENV)/.dev
	@$(BIN)/python -m tests.simulation.run --seeds $(or $(SEEDS),1000) --start $(or $(SEED_START),0)

.PHONY: mutants
mutants: $(VENV)/.dev
	@$(BIN)/python -m tests.robustness.mutants.run --seeds $(or $(SEEDS),100000)

.PHONY: chaos
chaos: $(VENV)/.dev
	@$(BIN)/python -m tests.robustness.chaos.run --kills $(or $(KILLS),20) --seed $(or $(SEED),0) --database $(or $(DATABASE),sqlite) \
		$(if $(JSON),--json $(JSON))

.PHONY: bench
bench: $(VENV)/.runtime
	@$(BIN)/wanesync bench hooks
	@$(BIN)/wanesync bench steady
	@$(BIN)/wanesync bench burst

.PHONY: lint
lint: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports & imports=$$!; $(BIN)/mypy; wait $$imports

.PHONY: fmt
fmt: $(VENV)/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# A test says when a page has changed since its picture was made.
.PHONY: screenshots
screenshots: $(VENV)/.dev chromium
	@$(BIN)/python -m tests.support.screenshots

# A list of what is installed from requirements.lock, with its hashes, licences and dependencies (CycloneDX 1.6).
.PHONY: sbom
sbom: $(VENV)/.runtime $(AUDIT)/.made
	@mkdir -p dist
	@$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --sv 1.6 \
		--output-reproducible --of JSON $(BIN)/python | $(BIN)/python .ci/supply_chain.py sbom requirements.lock > dist/wanesync-sbom.json
	@echo 'dist/wanesync-sbom.json'

# Findings of ruff's S rules and of bandit that no reason answers, and known vulnerabilities of what is locked.
.PHONY: audit
audit: $(VENV)/.dev $(AUDIT)/.made
	@$(BIN)/ruff check --select S wanesync
	@{ $(AUDIT)/bin/bandit --quiet --recursive --configfile pyproject.toml --format json wanesync || true; } \
		| $(BIN)/python .ci/supply_chain.py bandit
	@{ timeout 120 $(AUDIT)/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip --progress-spinner off \
		--format json 2> /dev/null || true; } | $(BIN)/python .ci/supply_chain.py known

# uv resolves; it is no part of the program, so it lives in an environment of its own for the moment.
.PHONY: lock
lock:
	@tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	$(PYTHON) -m venv "$$tools" && "$$tools/bin/pip" install --quiet --disable-pip-version-check uv; \
	"$$tools/bin/uv" $(LOCK) $(PROJECT) --group build --output-file requirements.lock; \
	"$$tools/bin/uv" $(LOCK) $(PROJECT) $(MANAGERS) --group dev --constraint requirements.lock --output-file requirements-dev.lock; \
	"$$tools/bin/uv" $(LOCK) deploy/aws/requirements.in --constraint requirements.lock --output-file deploy/aws/requirements.txt; \
	for rivals in queues join; do \
		"$$tools/bin/uv" $(LOCK) tests/bench/requirements-$$rivals.in --output-file tests/bench/requirements-$$rivals.txt; \
	done; \
	"$$tools/bin/uv" $(LOCK) .ci/requirements-audit.in --output-file .ci/requirements-audit.txt

.PHONY: clean
clean:
	@rm -rf $(VENV) $(AUDIT) .venv-queues .venv-join build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find wanesync tests -type d -name __pycache__ -prune -exec rm -rf {} +

# An environment is as new as the lock file it was made from: the stamps hold the lock's hash.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@$(call install,requirements.lock)

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	@$(call install,requirements-dev.lock)
	@cp $@ $(VENV)/.runtime

$(AUDIT)/.made: .ci/requirements-audit.txt | $(BIN)/python
	@rm -rf $(AUDIT); $(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes --requirement $<
	@touch $@

# The project itself is built without an index: hatchling comes from the lock.
define install
	hash=$$(cat $(1) pyproject.toml | sha256sum); \
	if [ "$$hash" != "$$(cat $@ 2>/dev/null)" ]; then \
		echo 'Installing from $(1) into $(VENV) (once, about half a minute) ...'; \
		$(PIP) install --require-hashes --requirement $(1); \
		$(PIP) install --no-deps --no-build-isolation --no-index --editable .; \
	fi; \
	echo "$$hash" > $@
endef

$(BIN)/python:
	@command -v $(PYTHON) > /dev/null || { echo 'wanesync needs Python 3.11 or newer: apt-get install python3-venv' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "wanesync needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1): name another, make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
		echo 'The venv module of $(PYTHON) is missing: apt-get install python3-venv' >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)
