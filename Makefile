# Freehold. `make` lists what there is; nothing here writes outside this folder.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8000
DEBUG ?= 1
export DEBUG
# Every process of a suite loads the same modules: they are compiled once, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
export PIP_CACHE_DIR := $(CURDIR)/$(VENV)/cache/pip
BIN := $(VENV)/bin
MANAGE := $(BIN)/python manage.py
BENCH ?= requests,growth,zipf,guards
comma := ,
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# One more than two processors: some tests wait.
TEST_PROCESSES ?= 3
# Every warning is an error in tests; where a suite runs, `PYTEST_ARGS=-x` passes options through.
PYTEST := $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)
# It takes a third of the time, so it is for those who ask, and for CI.
COVER := $(if $(COVERAGE),--cov --cov-report=)
# What production needs, for checks that open nothing.
PRODUCTION := DEBUG= SECRET_KEY=$(shell printf 'only-for-this-check-%.0s' 1 2 3 4) ALLOWED_HOSTS=example.com \
	JWT_KEYS_DIR=var/jwt-keys JWT_ISSUER=https://example.com JWT_AUDIENCE=freehold

.DEFAULT_GOAL := help

.PHONY: help
help:  ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | sort | \
		awk -F '\t' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/run.done: requirements/run.txt
	@echo "[1/4] Python packages into $(VENV) (once, about half a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/run.txt
	@touch $@

$(VENV)/dev.done: requirements/dev.txt
	@echo "Python packages for development into $(VENV) (once, about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@ $(VENV)/run.done

$(VENV)/bench.done: requirements/bench.txt
	@echo "Python packages for the benchmarks into $(VENV) (once, about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/bench.txt
	@touch $@ $(VENV)/dev.done $(VENV)/run.done

$(VENV)/audit.done: requirements/audit.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/audit.txt
	@touch $@

.PHONY: install
install: $(VENV)/run.done  ## Install what the service needs into .venv

.PHONY: demo
demo: $(VENV)/run.done
	@echo "[2/4] tenants.yaml"
	@$(MANAGE) tenants check
	@echo "[3/4] Signing key, migrations and demo data under var/"
	@$(MANAGE) signingkey create --if-missing
	@$(MANAGE) demo

.PHONY: serve
serve: demo  ## Run the service with its demo on http://127.0.0.1:8000 (PORT=… for another)
	@echo "[4/4] The server; Ctrl-C stops it"
	@JWT_ISSUER=$${JWT_ISSUER:-http://127.0.0.1:$(PORT)} exec $(BIN)/gunicorn project.wsgi --config python:project.gunicorn --bind 127.0.0.1:$(PORT)

.PHONY: test
test: $(VENV)/dev.done  ## Run all tests, on SQLite and on PostgreSQL 18 (COVERAGE=1: and see what they reach)
	@rm -f .coverage .coverage.*
	@echo "Tests on SQLite (about three minutes), then on PostgreSQL 18 (about four)"
	@TEST_DATABASE=sqlite COVERAGE_FILE=.coverage.sqlite $(PYTEST) $(COVER)
	@echo "Tests on PostgreSQL 18"
	@TEST_DATABASE=postgresql COVERAGE_FILE=.coverage.postgresql $(PYTEST) $(COVER)
	@test -z "$(COVERAGE)" || $(BIN)/coverage combine --quiet .coverage.sqlite* .coverage.postgresql*
	@test -z "$(COVERAGE)" || $(BIN)/coverage report --fail-under=95

.PHONY: test-swarm
test-swarm: $(VENV)/dev.done  ## 20,000 requests on real servers, and servers that leak on purpose (five minutes)
	@SWARM_REQUESTS=$${SWARM_REQUESTS:-20000} TEST_DATABASE=postgresql $(BIN)/python -m pytest -n 2 tests/swarm

.PHONY: test-system
test-system: $(VENV)/dev.done  ## Tests with PgBouncer, Redis, Chromium and Node.js from Debian (installs them where it may)
	@missing=""; for pair in pgbouncer:pgbouncer redis-server:redis-server chromium:chromium node:nodejs npm:npm; do \
		PATH="$$PATH:/usr/sbin" command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; done; \
	test -z "$$missing" || { echo "Installing$$missing"; \
		apt-get update -qq && apt-get install -y -qq $$missing >/dev/null; } || { \
		echo "Missing, and cannot be installed here:$$missing; run: apt-get install$$missing" >&2; exit 1; }
	@SYSTEM_TESTS=1 TEST_DATABASE=postgresql $(BIN)/python -m pytest tests/system

.PHONY: swarm
swarm: $(VENV)/dev.done  ## A million requests from many clients on real servers (SWARM_REQUESTS=20000 for fewer)
	@$(BIN)/python -m tests.swarm --requests $${SWARM_REQUESTS:-1000000}

.PHONY: bench
bench: $(VENV)/bench.done  ## Time requests beside other ways to serve tenants (15 minutes; BENCH=requests,growth,zipf,guards)
	@$(BIN)/python -m benchmarks $(subst $(comma), ,$(BENCH)) $(BENCH_ARGS)

.PHONY: bench-faults
bench-faults: $(VENV)/bench.done  ## What a dead, a restarted and a noisy tenant cost the others (five minutes)
	@$(BIN)/python -m benchmarks faults $(BENCH_ARGS)

.PHONY: bench-fleet
bench-fleet: $(VENV)/bench.done  ## What migrating and provisioning a fleet costs, and what a crash leaves (twenty minutes)
	@$(BIN)/python -m benchmarks fleet provision many crashes $(BENCH_ARGS)

.PHONY: bench-reports
bench-reports: $(VENV)/bench.done  ## What a report over a thousand tenants costs beside psycopg2 and loops (two minutes)
	@$(BIN)/python -m benchmarks reports $(BENCH_ARGS)

.PHONY: bench-endurance
bench-endurance: $(VENV)/bench.done  ## A million requests over a thousand tenants: does anything grow? (two hours)
	@$(BIN)/python -m benchmarks rewrites endurance $(BENCH_ARGS)

.PHONY: bench-guards
bench-guards: $(VENV)/dev.done  ## What the guards cost a query that is allowed, beside plain Django
	@$(BIN)/python -m benchmarks.guards

.PHONY: bench-sign-in
bench-sign-in: $(VENV)/dev.done  ## Whether a sign-in that fails tells by its time why (two minutes)
	@$(BIN)/python -m benchmarks.sign_in

.PHONY: bench-registry
bench-registry: $(VENV)/dev.done  ## What 10,000 tenants cost a start, the memory and a change of tenants.yaml
	@$(BIN)/python -m benchmarks.registry

.PHONY: lint
lint: $(VENV)/dev.done  ## Check style, types, layers, migrations and production settings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(MANAGE) makemigrations --check --dry-run
	@$(MANAGE) signingkey create --if-missing
	$(PRODUCTION) $(MANAGE) check --deploy --fail-level WARNING

.PHONY: audit
audit: $(VENV)/audit.done  ## Look for known faults in every package that is pinned (asks pypi.org; fails where it cannot)
	@for name in run dev bench audit; do echo "requirements/$$name.txt"; \
		$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements/$$name.txt || exit 1; done

.PHONY: format
format: $(VENV)/dev.done  ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: lock
lock: $(VENV)/dev.done  ## Pin requirements/*.in with hashes (UPGRADE=--upgrade for newer versions)
	@for name in run dev bench audit; do \
		CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-strip-extras \
			--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
			$(UPGRADE) --output-file requirements/$$name.txt requirements/$$name.in; \
	done

.PHONY: clean
clean:  ## Remove the demo's databases and keys, and all caches
	@rm -rf var .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
