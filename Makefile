# Undertone. `make demo` shows a call, `make test` checks everything; both install what they need.
SHELL := /bin/bash
SECONDS ?= 60
MIC ?= 0
ATTACKS = -p undertone-gateway -p undertone-tests --test attacks
# What else is there about bad input, limits and strangers.
ATTACKED = -p undertone-gateway -p undertone-tests --test sign_in --test joining --test calls --test hiding \
  --test relay --test bad_input --test privacy --test torture

.PHONY: help demo test attack build audit fuzz bench model mutants packages-build packages-sound packages-peers packages-model

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: packages-build ## Build phone, gateway and bench for daily use (target/release)
	cargo build --locked --release

demo: packages-build packages-sound ## Join a gateway and place one encrypted, verified call on this machine (MIC=1: your microphone)
	cargo build --locked --workspace --bins
	cargo run --locked --quiet --bin undertone-bench -- demo $(if $(filter 1,$(MIC)),--microphone)

test: packages-build packages-sound packages-peers ## Format, lints and all tests
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo build --locked --workspace --bins
	if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --locked --workspace; \
	  else cargo test --locked --workspace --exclude undertone-tests && \
	  cargo test --locked -p undertone-tests -- --test-threads=1; fi

attack: packages-build ## Attack gateway, relay and calls as strangers and account holders would, and print the counts
	cargo build --locked --workspace --bins
	if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --locked $(ATTACKS) --success-output immediate && cargo nextest run --locked $(ATTACKED); \
	  else cargo test --locked $(ATTACKS) -- --nocapture && cargo test --locked $(ATTACKED) -- --test-threads=1; fi

audit: ## Check licences, banned crates, sources and (where reachable) advisories
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check licenses bans sources
	if cargo deny fetch db >/dev/null 2>&1; then cargo deny check advisories; \
	  else echo "advisories: NOT CHECKED, the advisory database cannot be reached from here"; fi

fuzz: packages-build ## Fuzz every parser, each for SECONDS=60
	command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	scripts/fuzz.sh $(SECONDS)

bench: packages-build packages-sound ## Measure single steps, and calls over lossy lines in virtual time
	cargo bench --locked -p undertone-bench --bench micro
	cargo run --locked --quiet --release -p undertone-bench -- simulate

model: packages-model ## Check the model of the verification protocol, and that it finds the attacks it must
	docs/models/check.sh

mutants: packages-build ## Change the verification's code in every small way and see that a test fails each time
	command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants
	cargo mutants --output target --package undertone-media --colors never || [ $$? -eq 3 ] # 3: with some, tests run for ever
	! grep . target/mutants.out/missed.txt

packages-build:
	scripts/system-packages.sh "compile the code" build-essential pkg-config cmake libasound2-dev

packages-sound:
	scripts/system-packages.sh "speak and record without a sound card" espeak-ng pulseaudio pulseaudio-utils libasound2-plugins

packages-peers:
	scripts/system-packages.sh "call other makers' phones, watch whom ours talk to, and use a desktop's keystore" baresip linphone-cli strace iproute2 gnome-keyring dbus

packages-model:
	scripts/system-packages.sh "check the model of the verification protocol" maude
