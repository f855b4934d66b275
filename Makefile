# The verbs of the house. `make` alone lists them; `make run` and `make test` need nothing prepared:
# they install what is missing, say so first, and are quick when nothing is.
.DEFAULT_GOAL := help
.PHONY: help run test check check-perf bench bench-leaks bench-peers soak sim mutants proto docs fmt setup test-machine test-builds test-pythons test-elixirs clean
.NOTPARALLEL:
.PHONY: build test-assertions test-client-python test-client-elixir test-race check-rust check-deny check-tidy check-python check-shell check-elixir

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
VENV   := $(CURDIR)/.venv/bin
CARGO  := cargo
SETUP  := sh tests/setup.sh
# What cargo may not change on the way: Cargo.lock is part of what is tested.
LOCKED := --locked
# Without UTF-8 the BEAM warns at every start.
MIX    := cd client-elixir && LC_ALL=C.UTF-8 mix

# The black-box tests meet the release build: it is what is shipped, and they promise milliseconds.
# They themselves are dev builds, so that overflow checks and debug assertions are on.
export SIDEWINDER_BIN := $(TARGET)/release/sidewinder

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install everything that the other verbs need
	@$(SETUP) build test check peers

run: ## build, then show a first call, a stream, workers that come back, and a keeper that leaves nothing behind
	@$(SETUP) build
	@$(MAKE) --no-print-directory build
	@sh tests/show.sh

test: ## all tests; as root the black-box tests run twice, the second time without privileges
	@$(SETUP) build test
	@$(MAKE) --no-print-directory build
	$(CARGO) test $(LOCKED) --workspace --no-fail-fast
	@$(MAKE) --no-print-directory test-assertions
	python3 -m unittest discover --quiet --start-directory client-python/tests --top-level-directory client-python
	python3 -m unittest discover --quiet --start-directory tests/machine/host --top-level-directory tests/machine/host
	@$(MAKE) --no-print-directory test-client-python
	@$(MAKE) --no-print-directory test-race
	@$(MAKE) --no-print-directory test-client-elixir
	@sh tests/unprivileged.sh

check: ## format, lints, licences, advisories, tidy tree, documents, Python, shell, Elixir
	@$(SETUP) build check
	@$(MAKE) --no-print-directory check-rust check-deny check-python check-shell check-elixir build check-tidy

fmt: ## format Rust, Python and Elixir
	@$(SETUP) build check
	$(CARGO) fmt --all
	$(VENV)/ruff check --quiet --fix-only .
	$(VENV)/ruff format .
	$(MIX) format

sim: ## the core under a seeded simulation: SIM_EVENTS=1000000 SIM_SEED=…
	@$(SETUP) build
	SIM_EVENTS=$(or $(SIM_EVENTS),1000000) $(CARGO) test $(LOCKED) --release -p sidewinder-core --test simulation -- --nocapture

proto: ## make the types of the contract from proto/sidewinder/v1, for Rust and Python, to be committed
	@$(SETUP) build
	$(CARGO) run $(LOCKED) --quiet -p sidewinder-proto-generator

docs: ## write the tables of docs/telemetry.md from the code, to be committed
	@$(SETUP) build
	WRITE_DOCS=1 $(CARGO) test $(LOCKED) --quiet -p sidewinder document

mutants: ## break the core in every small way, and list what no test notices: MUTANTS='--shard 0/4', MUTANTS_TIME=seconds
	@$(SETUP) build mutants
	@sh tests/mutants.sh

soak: ## the full reaper matrix, 1,000 cycles, SOAK_CALLS=100000000 calls, a long simulation, the mutants of the core: hours
	@$(SETUP) build test
	@$(MAKE) --no-print-directory build
	MATRIX=full CYCLES=1000 $(CARGO) test $(LOCKED) --no-fail-fast -p sidewinder-tests
	@MATRIX=full CYCLES=1000 sh tests/unprivileged.sh
	$(MIX) test --only soak
	$(CARGO) run $(LOCKED) --quiet --release -p sidewinder-bench -- --soak $(or $(SOAK_CALLS),100000000)
	@$(MAKE) --no-print-directory sim SIM_EVENTS=$(or $(SIM_EVENTS),100000000)
	@$(MAKE) --no-print-directory mutants

bench: ## figures of keeper, daemon and clients, beside baselines; writes docs/bench.md, BENCH=--quick does not
	@$(SETUP) build test science
	@$(MAKE) --no-print-directory build
	python3 tests/bench/keeper.py
	$(CARGO) run $(LOCKED) --quiet --release -p sidewinder-bench -- $(or $(BENCH),--science $(TARGET)/science/bin/python3 --write docs/bench.md)
	BARE_ECHO=$(TARGET)/release/sidewinder-bench; export BARE_ECHO; $(MIX) run bench/figures.exs $(if $(BENCH),1,--write ../docs/bench.md)

check-perf: ## what a call costs in instructions, held against what is known; WRITE=--write makes that anew
	@$(SETUP) build perf
	$(CARGO) build $(LOCKED) --quiet --release -p sidewinder-bench
	python3 tests/bench/instructions.py $(TARGET)/release/sidewinder-bench $(WRITE)

bench-leaks: ## who leaves what alive: supervisord, tini, dumb-init and sidewinder keep
	@$(SETUP) build peers
	@$(MAKE) --no-print-directory build
	@mkdir -p docs
	python3 tests/bench/leaks.py --write docs/leaks.md

bench-peers: ## the race: the same work on sidewinder and its peers from PyPI; writes docs/race.md and an excerpt into README.md, RACE='--quick --only NAME,…' does not
	@$(SETUP) build race
	@$(MAKE) --no-print-directory build
	$(CARGO) build $(LOCKED) --release -p sidewinder-bench
	RACE_DRIVER=$(TARGET)/release/sidewinder-bench PYTHONPATH=client-python/src $(TARGET)/race/bin/python tests/race/race.py $(or $(RACE),--write docs/race.md --excerpt README.md)

test-pythons: ## the worker's runtime under every Python that is here: PYTHONS="python3.9 python3.14"
	@for python in $(or $(PYTHONS),python3.9 python3.10 python3.11 python3.12 python3.13 python3.14); do \
		"$$python" --version 2>/dev/null || { echo "$$python: not here"; continue; }; \
		"$$python" -m unittest discover --quiet --start-directory client-python/tests --top-level-directory client-python || exit; \
	done

test-elixirs: ## the Elixir client under every Elixir that is here, and as root under that of Debian trixie: ELIXIRS="/opt/elixir/bin/mix trixie"
	@$(SETUP) build test
	@$(MAKE) --no-print-directory build
	@sh tests/elixirs.sh $(ELIXIRS)

test-builds: ## have the present daemon take over workers of an earlier build: REVISION=HEAD~1
	@$(SETUP) build test
	@$(MAKE) --no-print-directory build
	sh tests/builds.sh $(REVISION)

test-machine: ## booted machines, each with a real systemd, an older and a newer one, and every cgroup controller
	@$(SETUP) build
	@$(MAKE) --no-print-directory build
	bash tests/machine/run.sh

clean: ## forget every build and the Python environment
	$(CARGO) clean
	rm -rf .venv .mypy_cache .ruff_cache client-elixir/_build

# The parts, each useful alone once `make setup` has run.

# The same with debug assertions: the standard library then notices a descriptor that is closed twice. And with two threads,
# where a small machine has one.
test-assertions:
	$(CARGO) build $(LOCKED) --bin sidewinder
	SIDEWINDER_DAEMON_THREADS=2 SIDEWINDER_BIN=$(TARGET)/debug/sidewinder $(CARGO) test $(LOCKED) -p sidewinder-tests --test keeper --test keep --test daemon

# The worker's runtime is tested with what the machine has, the client with the libraries that it needs.
test-client-python:
	$(VENV)/python -m unittest discover --quiet --start-directory client-python/tests_client --top-level-directory client-python

# The race's own code, on those who need nothing from PyPI but grpcio.
test-race:
	$(CARGO) build $(LOCKED) --quiet -p sidewinder-bench
	RACE_DRIVER=$(TARGET)/debug/sidewinder-bench PYTHONPATH=client-python/src $(VENV)/python -m unittest discover --quiet --start-directory tests/race/trials --top-level-directory tests/race

test-client-elixir:
	$(MIX) test

build:
	$(CARGO) build $(LOCKED) --release --bin sidewinder

check-rust:
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(LOCKED) --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(LOCKED) --workspace --no-deps --document-private-items --quiet

check-deny:
	@sh tests/deny.sh

# A finding says where it is; where the test stood when it found it is of no interest.
check-tidy:
	RUST_BACKTRACE=0 $(CARGO) test $(LOCKED) -p sidewinder-tests --test tidy

check-python:
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	@files=$$(git ls-files --cached --others --exclude-standard '*.py'); \
	if [ -n "$$files" ]; then set -x; $(VENV)/mypy $$files; else echo 'mypy: no Python file yet'; fi

# By the first line, not the name; what a script sources is checked together with it.
check-shell:
	@scripts=$$(git ls-files --cached --others --exclude-standard | xargs awk 'FNR == 1 && /^#!.*sh$$/ { print FILENAME }'); \
	set -x; $(VENV)/shellcheck --external-sources --check-sourced $$scripts

check-elixir:
	$(MIX) format --check-formatted
	$(MIX) compile
