# Two commands on a fresh machine: `make demo` and `make test`. Only Python 3.11+, make and a C library are needed.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)
BIN := .venv/bin
# Trust what the machine trusts, as pip does: utilities sit behind proxies with certificates of their own.
export UV_SYSTEM_CERTS ?= 1

.PHONY: demo serve test check bench faults lock clean

demo: .venv/ready
	$(BIN)/h2twin demo $(ARGS)

serve: .venv/ready
	$(BIN)/h2twin serve $(ARGS)

test: .venv/ready-dev
	$(BIN)/python -m pytest $(ARGS)

check: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint docker/Dockerfile

bench: .venv/ready-dev
	@for bench in tests/benchmarks/bench_*.py; do \
	  echo "== $$bench"; PYTHONPATH=tests $(BIN)/python $$bench || exit 1; \
	done

# Everything that can go wrong between a gateway and the store: make faults ARGS="--seed 7 --messages 50000".
faults: .venv/ready-dev
	PYTHONPATH=tests $(BIN)/python -m faults.run $(ARGS)

# The lock is uv.lock; the requirements files are exported from it for machines without uv.
ifneq ($(UV),)
.venv/ready: pyproject.toml uv.lock
	$(UV) sync --locked --extra demo --extra parquet --extra forecast --compile-bytecode --python $(PYTHON) --inexact
	touch $@

.venv/ready-dev: pyproject.toml uv.lock
	$(UV) sync --locked --all-extras --group dev --compile-bytecode --python $(PYTHON) --inexact
	touch $@ .venv/ready
else
.venv/ready: pyproject.toml requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes -r requirements.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --editable .
	touch $@

.venv/ready-dev: pyproject.toml requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --editable .
	touch $@ .venv/ready
endif

lock:
	uv lock
	uv export --quiet --locked --no-emit-project --extra demo --extra parquet --extra forecast -o requirements.txt
	uv export --quiet --locked --no-emit-project --extra parquet --extra postgres --extra forecast --extra dask -o requirements-docker.txt
	uv export --quiet --locked --no-emit-project --all-extras --group dev -o requirements-dev.txt

clean:
	rm -rf .venv build dist
