# `make help` explains itself. Everything else stands in Python: infra/local.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := boxruntime controlplane infra tenants tests manage.py
BOOTSTRAP := $(PYTHON) infra/local/bootstrap.py

.DEFAULT_GOAL := help
.PHONY: help setup up down status logs clean box demo test fmt lint types unit integration \
	conformance browser load bench dev chromium

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install Python packages into .venv (up and test do it by themselves)
	@$(BOOTSTRAP) setup embedded dev

up: ## start the platform: make up [PORT=8888] [AIDBOX_SUPERUSER=user:password]
	@$(BOOTSTRAP) up

down: ## stop the platform; data stays
	@$(BOOTSTRAP) down

status: ## show what runs
	@$(BOOTSTRAP) status

logs: ## follow all logs
	@$(BOOTSTRAP) logs

clean: ## stop the platform and remove all its data
	@$(BOOTSTRAP) clean

box: ## one box with its own PostgreSQL: AIDBOX_CLIENT_SECRET=… make box
	@$(BOOTSTRAP) box

demo: ## load 16 synthetic patients into a box of the running platform
	@$(BIN)/python manage.py demo $(ARGS)

fmt: dev ## format the code
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix --quiet $(SOURCES)

lint: dev ## check style and import arrows
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/lint-imports

types: dev ## check types
	@$(BIN)/mypy

test: lint types chromium ## everything CI runs
	@$(BIN)/python -m pytest

unit: dev ## tests without servers
	@$(BIN)/python -m pytest tests/unit tests/contract

integration: dev ## tests against real servers
	@$(BIN)/python -m pytest tests/integration

conformance: dev ## published cases, against a box of our own
	@$(BIN)/python -m pytest tests/conformance

browser: dev chromium ## the console in a real browser
	@$(BIN)/python -m pytest tests/browser

load: bench

bench: dev ## measure, beside the floors of this machine: ARGS="--quick --json FILE --compare FILE"
	@$(BIN)/python -m tests.load $(ARGS)

dev:
	@$(BOOTSTRAP) setup embedded dev

chromium: dev
	@$(BIN)/python -m infra.local.chromium
