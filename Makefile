# Every target sets up what it needs first: make run on a fresh machine is enough.

PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help run test check bench migration definitions settings clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

run: $(READY)  ## Start everything, open, on this machine only
	@exec $(BIN)/sangam serve --demo $(ARGS)

test: $(READY)  ## Run the test suite
	@$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

check: $(READY)  ## Lint, check types and import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(READY)  ## Measure (docs/benchmarks.md)
	@$(BIN)/python -m benchmarks $(ARGS)

migration: $(READY)  ## Write the Alembic script of a change of tables
	@$(BIN)/python migrations/new.py $(ARGS)

definitions: $(READY)  ## Build the artefacts of R4 and its terminology anew from ../shared/data/r4
	@$(BIN)/python -m fhir_server.r4.build
	@$(BIN)/python -m fhir_server.vocabulary.build

settings: $(READY)  ## Write docs/settings.md anew from the settings
	@$(BIN)/python -m fhir_server.main.settings_page

clean:  ## Remove the environment, not the data
	rm -rf $(VENV)

$(READY): pyproject.toml uv.lock
	@sh .ci/setup "$(VENV)" "$(PYTHON)"
	@touch $(READY)
