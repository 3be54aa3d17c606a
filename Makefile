# Two commands matter: `make run` (sets everything up, runs the main job) and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
# Houses with a proxy or a mirror have its certificate in the system's store, as pip finds it too.
export UV_SYSTEM_CERTS := 1
# Where bytecode may not be kept, each of the many short processes compiles every module anew: two seconds a start.
unexport PYTHONDONTWRITEBYTECODE
APT_PEERS := sip-tester baresip baresip-core chromium fonts-noto-cjk espeak-ng sox ffmpeg postgresql

.PHONY: pacing-report run test setup setup-dev peers lint types imports dependencies check soak lock

run: setup
	$(BIN)/onrecord demo

setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@ $(VENV)/.installed

# The phones, load generators, browser and database servers that tests talk to. Their absence fails the tests.
peers:
	tests/install_peers.sh $(APT_PEERS)

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
types: setup-dev
	$(BIN)/mypy
imports: setup-dev
	$(BIN)/lint-imports

dependencies: setup-dev
	$(BIN)/deptry .

check: lint types imports dependencies

test: setup-dev peers check
	$(BIN)/pytest -q -n 2 tests/unit tests/contract tests/integration/sip
	$(BIN)/pytest -q --ignore tests/integration/sip tests/integration tests/acceptance tests/faults tests/browser

# Long proofs of the pure cores; each stops at its first violation and keeps its result in bench/results.
soak: setup-dev
	$(BIN)/python -m bench.workflow_year
	$(BIN)/python -m bench.policy_oracle
	$(BIN)/python -m bench.fault_soak
	$(BIN)/python -m bench.floor_soak

lock: | $(BIN)/uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml

# The whole comparison of pacers, with plots, into bench/results: adds days to those kept (FRESH=--fresh starts anew).
pacing-report: setup-dev
	$(BIN)/python -m bench.pacing_report --minutes $(or $(MINUTES),60) $(FRESH)
