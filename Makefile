# The project's commands. `make help` lists them; CI and the pre-commit hooks call the same ones.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Make hands what the command line sets (`make demo ROWS=50000`) to the programs as environment variables.
# PG: version of the embedded server, 16 or 18. PG_BIN: folder of another PostgreSQL server's binaries.
# MINUTES, SEED, CLIENTS: how long the torture lasts, what its sessions draw from, how many of them write; ARGS='--list' names its inputs.
# ROWS, CSV, AS_OF: what the demo loads and the moment it takes for now. PORT: of the UI of `make up`. ARGS: more arguments for pytest and the others.
ARGS ?=

# Three processes on two cores, because tests wait for locks and clocks, each with a server of its own. The tests of a file stay together, and
# files keep their order, in which a long one is no longer the last. ARGS='-n 0' runs them in one process.
PARALLEL := -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo '  Variables: PG=16|18  PG_BIN=DIR  ROWS=N  CSV=FILE  AS_OF=TIME  PORT=N  MINUTES=N  SEED=N  CLIENTS=N  ARGS=more-arguments  PYTHON=python3.12'

.PHONY: venv
venv: $(STAMP) ## Install everything into .venv

$(STAMP): requirements.txt dags/requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}: choose another with make PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt --constraint constraints.txt
	@touch $@

.PHONY: demo
demo: $(STAMP) ## Fill the cache while killmails keep arriving, by a real Airflow, and compare every cell
	$(BIN)/python -m demo.run

.PHONY: test
test: lint ## Lint, then all tests on the embedded server: ten minutes on two cores
	@echo 'All tests on the embedded server: ten minutes on two cores. A dot is a test; at the end of a line, how much is done.'
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

.PHONY: test-pg
test-pg: $(STAMP) ## The same tests on a real server's binaries: make test-pg PG_BIN=/usr/lib/postgresql/15/bin
	@[ -n "$${PG_BIN:-}" ] || { echo 'Say which server: make test-pg PG_BIN=/usr/lib/postgresql/15/bin' >&2; exit 2; }
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

.PHONY: torture
torture: $(STAMP) ## Every hostile act of a site on its killmails at once, judged by a recount: make torture MINUTES=30 SEED=1 CLIENTS=8
	$(BIN)/python -m tests.torture $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(CLIENTS),--clients $(CLIENTS)) $(ARGS)

.PHONY: test-reads
test-reads: $(STAMP) ## Every entity straight from killmails in every period, one by one, beside a recount: a quarter of an hour
	ENTITIES=1000000 $(BIN)/python -m pytest tests/sql/reads/test_reads.py -k without_the_cache -n 2 $(ARGS)

.PHONY: test-scheduler
test-scheduler: $(STAMP) ## The DAGs from a Git bundle under a real scheduler: alerts by webhook and mail, runs that are ended
	$(BIN)/python -m pytest tests/scheduler $(ARGS)

.PHONY: test-ui
test-ui: $(STAMP) ## The page in the Airflow UI, looked at by Chromium (apt-get install chromium)
	$(BIN)/python -m pytest tests/ui $(ARGS)

.PHONY: test-celery
test-celery: $(STAMP) ## The DAGs on CeleryExecutor with two workers (apt-get install redis-server)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement tests/executors/requirements.txt --constraint constraints.txt
	$(BIN)/python -m pytest tests/executors $(ARGS)

.PHONY: screenshots
screenshots: $(STAMP) ## Take the documentation's pictures anew, in the demo's world
	$(BIN)/python -m demo.screenshots

.PHONY: lint
lint: $(STAMP) ## Check Python, SQL and the SQL inside PL/pgSQL bodies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(wildcard dags plugins) demo docs local benchmarks tests .ci/*.py
	$(BIN)/sqlfluff lint --processes 2 --disable-progress-bar sql local benchmarks tests
	$(BIN)/python .ci/embedded_sql.py

.PHONY: format
format: $(STAMP) ## Format Python and mend what the linters can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --processes 2 --disable-progress-bar sql local benchmarks tests

.PHONY: up
up: $(STAMP) ## Start the demo's world and leave it running, the Airflow UI on localhost
	$(BIN)/python -m demo.world up

.PHONY: down
down: $(STAMP) ## Stop what `make up` started
	$(BIN)/python -m demo.world down

.PHONY: deploy
deploy: ## Deploy to the database named by DATABASE_URL, with psql
	@[ -n "$${DATABASE_URL:-}" ] || { echo 'Say which database: make deploy DATABASE_URL=postgresql://user@host:5432/killboard' >&2; exit 2; }
	@psql "$$DATABASE_URL" --no-psqlrc -v ON_ERROR_STOP=1 -f sql/deploy.sql

.PHONY: alert-test
alert-test: $(STAMP) ## Send a message through the alert connection (AIRFLOW_CONN_ENTITY_STATS_ALERTS)
	@PYTHONPATH=dags $(BIN)/python -m entity_stats.alerts

.PHONY: bench
bench: $(STAMP) ## Measure what docs/performance.md shows, half an hour (ARGS="--quick --output /tmp": five minutes, kept elsewhere)
	$(BIN)/python -m benchmarks --output docs $(ARGS)

.PHONY: bench-long
bench-long: $(STAMP) ## For docs/performance.md as well: a soak of 20 minutes, backfills of 20 million killmails, new prices for a million; an hour
	$(BIN)/python -m benchmarks.soak
	$(BIN)/python -m benchmarks.repricing
	$(BIN)/python -m benchmarks.filling

.PHONY: bench-reads
bench-reads: $(STAMP) ## Measure reads, for docs/read-api.md: make bench-reads KILLMAILS=5000000
	$(BIN)/python -m benchmarks.reads $(or $(KILLMAILS),5000000) --output docs/benchmarks/reads.md

.PHONY: docs
docs: $(STAMP) ## Write the generated pages: docs/claims.md, docs/read-api.md, docs/performance.md
	$(BIN)/python -m docs.generate

.PHONY: lock
lock: ## Renew constraints.txt from requirements.txt
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --upgrade \
	    --no-emit-index-url --no-emit-find-links --no-annotate --no-header requirements.txt tests/executors/requirements.txt --output-file constraints.txt
	rm -rf $(VENV)-lock

.PHONY: clean
clean: ## Remove what these commands made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
