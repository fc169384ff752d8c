# Everything needs only make and Python 3.11 or newer; `make install` does the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Two workers of one thread each: torch's own threads gain little on tensors this small.
WORKERS ?= 2
ARGS ?=
# The code that is generated from protos/, and the last released protos/ as a FileDescriptorSet.
GENERATED ?= clients/python
RELEASED ?= protos/released/v1.binpb

# CarRacing draws off screen.
export SDL_VIDEODRIVER ?= dummy
# Threads that wait by spinning starve each other wherever something else is running.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help install test lint demo protos release-protos constraints

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## set up .venv with every extra, pinned

$(INSTALLED): pyproject.toml clients/python/pyproject.toml server/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "expected Python 3.11 or newer, got: $(PYTHON); set PYTHON=path/to/python" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing into $(VENV): a few minutes the first time"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable clients/python --editable ".[all]" --editable server
	@touch $@

lint: install ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## lint, types and tests; ARGS="-k dream" narrows
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(WORKERS) $(ARGS)

demo: install ## learn in the shipped dream, drive the real track; ARGS=--quick for two minutes
	$(BIN)/python examples/demo.py $(ARGS)

protos: install ## write the generated code from protos/
	$(BIN)/python -m grpc_tools.protoc -I dreamenv_client/v1=protos/dreamenv/v1 \
		--python_out=$(GENERATED) --pyi_out=$(GENERATED) \
		dreamenv_client/v1/dream.proto

release-protos: install ## at a release: what later protos/ are checked against
	$(BIN)/buf build protos --exclude-source-info --as-file-descriptor-set \
		--output $(RELEASED)

constraints: install ## write the versions in .venv to constraints.txt
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/pip freeze --all --exclude pip --exclude-editable \
		| sed 's/+.*//'; } > constraints.new
	@mv constraints.new constraints.txt
