# The few commands that the project is worked with. `make run` on a fresh machine needs python3 and nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest
SOURCES := host tenants plugins tests $(wildcard benchmarks)

.PHONY: run test check format map bench bench-metrics bench-live bench-audit fuzz torture lock clean

## run: set up and start the host on the embedded defaults
run: $(VENV)/.run
	$(BIN)/tenantry serve $(ARGS)

## test: the whole test suite on the embedded default, and on PostgreSQL and Redis where TEST_*_URL name them
test: $(VENV)/.dev
	$(PYTEST) -n auto --dist loadfile $(ARGS)

## check: style, types and the rules of the host
check: $(VENV)/.dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -q tests/architecture

## format: let ruff put the sources in order
format: $(VENV)/.dev
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

## map: write the map of the README and the reference in docs/ anew
map: $(VENV)/.dev
	$(BIN)/python tests/architecture/test_map.py
	$(BIN)/python tests/architecture/test_sdk.py

## bench: requests per second against a bare handler, mail against SAQ alone, the start with 500 contributions
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.bench
	$(BIN)/python -m benchmarks.mail
	$(BIN)/python -m benchmarks.extension_points

## bench-metrics: what counting one thing and one scrape cost
bench-metrics: $(VENV)/.dev
	$(BIN)/python -m benchmarks.metrics

## bench-live: live channels: cost of publishing, time to the followers, hops between processes, open streams
bench-live: $(VENV)/.dev
	$(BIN)/python -m benchmarks.live

## bench-audit: the audit log: cost of an entry, sealing, verifying, searching a million, exporting them
bench-audit: $(VENV)/.dev
	$(BIN)/python -m benchmarks.audit $(ARGS)

## fuzz: every operation of the OpenAPI document, with input nobody thought of
fuzz: $(VENV)/.dev
	$(PYTEST) -m fuzz --timeout 1200 tests/journeys $(ARGS)

## torture: kill -9, lost servers and races, for minutes
torture: $(VENV)/.dev
	$(PYTEST) -m torture --timeout 1800 tests/journeys tests/plugins $(ARGS)

## lock: pin the newest versions that fit together, for every Python and platform supported
lock: $(VENV)/.dev
	$(PIP) install uv
	$(BIN)/uv pip compile pyproject.toml --group dev --all-extras --universal --python-version 3.11 \
		--no-header --no-annotate --quiet --upgrade --output-file constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tenantry needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade
	@echo "Setting up $(VENV), once: what Tenantry needs is downloaded, a minute or two …"
	$(BIN)/python -m pip --disable-pip-version-check install -c constraints.txt -e .
	@touch $@

# --group is understood by pip 25.1 and later, which is newer than what Python 3.11 to 3.13 bring along.
$(VENV)/.dev: $(VENV)/.run
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install -c constraints.txt --group dev
	@touch $@
