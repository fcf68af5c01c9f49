# Every task of this repository. `make` alone lists them.
#
# Each target works in a fresh clone and does nothing where nothing needs doing. The dependencies are
# built once for the demo, the tests and the benchmarks: one profile (release) and one set of
# features. Cargo chooses features by what it is asked to build; a workspace together with an
# example (EXAMPLE, a small one) is chosen for as its tests are, a program alone is not.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

CARGO    ?= cargo
RELEASE  := --release --locked
EXAMPLE  := --example gallery
MACHINA  := target/release/machina

# Tested as they are written, not optimised: crates that wait for disks, sockets and each other, and that
# take a quarter of an hour to optimise with their tests. What computes is tested as it is shipped, and
# so is the whole program, by `make interop`.
UNOPTIMISED := $(foreach crate,foreman machina mandates payments protocol settlement web,\
  --config profile.release.package.$(crate).opt-level=0)
CONTRACT_TOOLS := contracts/node_modules/.package-lock.json

##@ Use

.PHONY: demo
demo: build ## watch one machine buy work from another, and see the books
	@$(MACHINA) demo

.PHONY: up
up: build ## keep an economy running, with its page at http://localhost:4020
	@exec $(MACHINA) up

.PHONY: build
build: ## build the program: target/release/machina
	@tools/need rust cc
	@$(CARGO) build $(RELEASE) --workspace --bin machina $(EXAMPLE)

##@ Prove

.PHONY: test
test: $(CONTRACT_TOOLS) ## run every test: contracts, crates, pages in a real browser
	@tools/need rust cc python chromium
	@cd contracts && npm test --silent
	@$(CARGO) test $(RELEASE) $(UNOPTIMISED) --workspace --no-fail-fast

.PHONY: check
check: $(CONTRACT_TOOLS) ## formats, lints, documents, contract bytes, the map and the floors
	@tools/need rust cc
	@$(CARGO) fmt --all --check
	@cd contracts && npm run --silent check
	@$(CARGO) clippy $(RELEASE) --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(RELEASE) --workspace --no-deps --quiet --lib --bins $(EXAMPLE)
	@$(CARGO) test $(RELEASE) $(UNOPTIMISED) --quiet --workspace --test house

.PHONY: interop
interop: build ## let outside clients from npm, PyPI and crates.io trade with a running economy
	@tools/need node python
	@interop/setup
	@interop/run $(MACHINA)

.PHONY: bench
bench: ## measure: each figure beside its limit or its peer, in one table
	@tools/need rust cc node python
	@bench/run

.PHONY: checks
checks: ## play labour markets against cheats: the tables of docs/checks.md
	@tools/need rust cc
	@$(CARGO) run $(RELEASE) --quiet -p market --example checks

##@ Keep

.PHONY: setup
setup: build $(CONTRACT_TOOLS) ## fetch and build all that the other targets need
	@tools/need node python chromium
	@$(CARGO) fetch --locked --quiet
	@$(MACHINA) models --fetch
	@interop/setup

.PHONY: clean
clean: ## remove all that was built or installed here; homes, books and models stay
	@$(CARGO) clean --quiet
	@rm -rf contracts/node_modules contracts/out contracts/cache interop/node_modules interop/.venv interop/rust/target .out

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nNeeds Rust, Node 20 or later, Python 3 with pip and a C compiler; tests also need Chromium.\n'

$(CONTRACT_TOOLS): contracts/package.json contracts/package-lock.json
	@tools/need node
	@cd contracts && npm ci --loglevel=error
	@touch $@
