# Each target prepares what it needs, on a fresh machine too, and says what to install when it cannot.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory

UV_VERSION := 0.13.8
PIP_VERSION := 26.3
PIP_SHA256 := f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13

PYTHON ?= python3
# The Python of BASE: wheels with compiled code fit one version only.
IMAGE_PYTHON ?= 3.11
BASE ?= docker.io/library/python:3.11-slim-bookworm
IMAGE ?= alma
ARGS ?=
# How the workers share the work is in tests/scheduling.py.
PYTEST_ARGS ?= -n 2 --dist loadfile

# One that is installed, else our own beside the environment: system packages are never touched.
UV := $(or $(shell uv --version >/dev/null 2>&1 && command -v uv),.cache/uv/bin/uv)
RUN := $(UV) run --no-sync
# The machine's own certificates, so that a package index behind a company's proxy is trusted too.
export UV_SYSTEM_CERTS ?= 1
# Daemons lie where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/sbin:/sbin
WHEELS := dist/wheels

.PHONY: help demo test mutants reliability soak simulator bench lint fmt image wheels environment

help:
	@printf '\nALMA. Each target prepares what it needs by itself.\n\n'
	@printf '  %-24s %s\n' \
	  'make demo ARGS=--once' 'the whole story on simulated hosts: plan, deploy, drift, undo; without ARGS it goes on' \
	  'make test' 'every check: servers, lint, all tests; what cannot run here is listed at the end' \
	  'make mutants' 'put seeded defects into a copy of the tree, one by one, and see the tests fail' \
	  'make reliability' 'the matrix of faults with its whole N (an hour), one table of what is met' \
	  'make soak' 'an hour of webhooks, pushes, failures and drift on a real Gitea: does memory stay flat?' \
	  'make simulator' 'play drawn faults and kills under virtual time: --seconds 600, or --seed 7 with its trace' \
	  'make bench' 'measure against Docker Compose and kubectl and print the table' \
	  'make lint' 'style, types and the layers of the code' \
	  'make fmt' 'format the code' \
	  'make image BASE=IMAGE' 'the container image, from wheels pinned by hash' \
	  'make help' 'this list'
	@printf '\n  One test:  make test PYTEST_ARGS="tests/controller/plan -x"\n\n'

demo: environment
	@$(RUN) alma demo $(ARGS)

test: environment
	@$(RUN) python -m tests.servers.system
	@$(RUN) python -m tests.servers.build
	@$(RUN) python -m tests.servers.published
	@$(MAKE) lint
	@$(RUN) pytest $(PYTEST_ARGS)

mutants: environment
	@$(RUN) python -m tests.mutants $(ARGS)

reliability: environment
	@$(RUN) python -m tests.servers.system
	@$(RUN) python -m tests.servers.build
	@$(RUN) python -m tests.servers.published
	@$(RUN) python -m tests.reliability $(ARGS)

soak: environment
	@$(RUN) python -m tests.servers.system
	@$(RUN) python -m tests.servers.build gitea
	@$(RUN) python -m tests.soak $(ARGS)

simulator: environment
	@$(RUN) python -m tests.simulator $(ARGS)

bench: environment
	@$(RUN) python -m tests.servers.system
	@$(RUN) python -m tests.servers.build compose kubernetes kwok helm
	@$(RUN) python -m tests.bench $(ARGS)

lint: environment
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy
	@$(RUN) lint-imports

fmt: environment
	@$(RUN) ruff check --fix --exit-zero --quiet
	@$(RUN) ruff format

image: wheels
	@command -v docker >/dev/null || { echo 'make image: docker is missing: apt-get install docker.io' >&2; exit 1; }
	@docker build --build-arg BASE=$(BASE) --file Containerfile --tag $(IMAGE) .

# What the image is made of: our wheel, and every dependency at the hash that uv.lock names.
wheels: $(UV)
	@rm -rf $(WHEELS) && mkdir -p $(WHEELS)
	@$(UV) build --quiet --wheel --out-dir $(WHEELS)
	@$(UV) export --quiet --locked --no-dev --no-emit-project --output-file $(WHEELS)/requirements.txt
	@printf 'pip==%s --hash=sha256:%s\n' $(PIP_VERSION) $(PIP_SHA256) >>$(WHEELS)/requirements.txt
	@$(UV) tool run --quiet --python $(IMAGE_PYTHON) --from pip==$(PIP_VERSION) pip download --quiet \
	  --only-binary :all: --require-hashes --requirement $(WHEELS)/requirements.txt --dest $(WHEELS)

environment: $(UV)
	@$(UV) sync --locked --quiet

.cache/uv/bin/uv:
	@command -v $(PYTHON) >/dev/null || { echo 'python3 is missing: apt-get install python3 python3-venv' >&2; exit 1; }
	@$(PYTHON) -m venv --clear .cache/uv >/dev/null 2>&1 || \
	  { rm -rf .cache/uv; echo '$(PYTHON) cannot make a virtual environment: apt-get install python3-venv' >&2; exit 1; }
	@.cache/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) || \
	  { echo 'uv could not be installed with pip: is the package index reachable?' >&2; exit 1; }
