# One file to find out what can be done here: `make help`.
# Every target does its own set-up; nothing has to be run first.

PYTHON ?= python3
VENV := .venv/bin
STACK := $(VENV)/python -m tasks_service.devstack

.DEFAULT_GOAL := help

##@ Start here

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## Build, test and push a real task in an isolated engine, from nothing
	@$(STACK) demo

.PHONY: service
service: setup ## Run the service here (`tasks up`), with a repository to try it on; Ctrl-C ends it
	@exec $(STACK) service

.PHONY: test
test: setup ## Everything: the gate, and all tests against a real engine, registry and Git server
	@$(STACK) test

.PHONY: down
down: ## Stop and remove all that demo, test, bench and up started
	@$(PYTHON) -m tasks_service.devstack.bootstrap && $(STACK) down

##@ While working

.PHONY: setup
setup: ## Create .venv from the lock file (quick when nothing changed)
	@$(PYTHON) -m tasks_service.devstack.bootstrap

.PHONY: format
format: setup ## Format the code
	@$(VENV)/ruff format
	@$(VENV)/ruff check --fix --exit-zero --quiet

.PHONY: check
check: setup ## The part of the gate that needs no engine: style, types, layers, drift, unit and contract tests
	@$(STACK) check

.PHONY: up
up: setup ## Start engine, registry and Git server and leave them running
	@$(STACK) up

.PHONY: status
status: setup ## Show what of the stack is running
	@$(STACK) status

.PHONY: bench
bench: setup ## Measure us against our peers (ONLY=name runs some, ROUNDS=n)
	@$(STACK) bench $(if $(ONLY),--only "$(ONLY)") $(if $(ROUNDS),--rounds "$(ROUNDS)")

.PHONY: conformance
conformance: setup ## Compare our task language with recorded cases (CASES=file, a .jsonl)
	@$(VENV)/python -m tests.conformance $(CASES)

.PHONY: test-faults
test-faults: setup ## Do to real parts what the service must survive, a line each (SEED=n, ONLY="F4 F28")
	@$(STACK) up && eval "$$($(STACK) env)" && \
		$(VENV)/python -m tests.faults $(SEED) $(ONLY)

.PHONY: fuzz
fuzz: setup ## Look for task files that break the language (SECONDS=n)
	@$(VENV)/python -m tests.fuzz $(SECONDS)

##@ Generated files

.PHONY: proto
proto: setup ## Make the BuildKit stubs of schemas/*.proto
	@$(VENV)/python -m runners.clients.buildkit.codegen

.PHONY: schemas
schemas: setup ## Make schemas/*.json of the models
	@$(VENV)/python -m tasks_service.plans.schema
	@$(VENV)/python -m tasks_service.api.document

.PHONY: docs
docs: setup ## Make the pages of docs/ that come from tables
	@$(VENV)/python -m tasks_service.plans.reference
	@$(VENV)/python -m tests.conformance.page
	@$(VENV)/tasks plan examples/demo-app/acb.yaml -o svg -r registry.example > docs/img/plan.svg
	@$(VENV)/python -c 'from pathlib import Path; from runners.steps import build_flags, cmd_flags; \
	  [Path("docs", name).write_text(kind.flags_page()) for name, kind in \
	  (("build-flags.md", build_flags), ("cmd-flags.md", cmd_flags))]'

.PHONY: lock
lock: ## Make requirements.lock of pyproject.toml (needs uv: UV=path)
	@$(or $(UV),uv) pip compile --universal --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --python-version 3.11 --group dev --quiet \
	  pyproject.toml -o requirements.lock
