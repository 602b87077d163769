# `make lint unit doc` needs Rust, a C linker and, once, the network (for cargo-deny). It runs as an
# ordinary user.
# `make test` runs everything that CI runs. Its cluster tests need root, Go and some Debian
# packages (tests/deps.sh).
#
#   test           everything
#   lint           format, lints, licences, walls between crates, comments, names of tests
#   lint-commits   the subjects of the commits, and the width of their bodies
#   unit           unit tests, doc tests and the simulator
#   doc            rustdoc; broken links are errors
#   e2e            the cluster tests
#   sim-long       days of virtual time
#   sim-mutations  does a test notice broken rules?
#   fuzz           cargo-fuzz on all parsers
#   bench          all figures of docs/benchmarks.md
#   images         the container images
#   sandbox        a whole Kubernetes with Lodestone, to try it (LAYOUT=overlay: other networks);
#                  sandbox-down removes it
#   crds           the chart's CustomResourceDefinitions
#   promises       the lists of tests in docs/promises.md
#   version        the chart's version, from Cargo.toml; version-check compares them
#   deps           installs what `make test` needs
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

TARGET := $(shell uname -m)-unknown-linux-gnu
# Static binaries: an image holds nothing else. Packed relocations make them smaller, but need glibc
# 2.36 or newer here.
RELR := $(shell printf '2.36\n%s' "$$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)" | sort -CV && echo ' -C link-arg=-Wl,-z,pack-relative-relocs')
STATIC_FLAGS := -C target-feature=+crt-static$(RELR)
STATIC := target/$(TARGET)/release
VERSION := v$(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
CLUSTER := target/debug/cluster

.PHONY: test
test: deps lint unit doc images
	shellcheck --severity=warning .ci/run tests/*.sh tests/*/*.sh
	gofmt -l tests/kubernetes | (! grep .)
	tests/kubernetes/build.sh >/dev/null
	tests/run.sh

.PHONY: lint
lint: deps-lint version-check
	cargo fmt --all --check
	tests/lint/comment-width.sh
	tests/lint/forbidden-crates.sh
	tests/lint/imports.py
	tests/lint/promises.sh check
	tests/lint/sentence-length.py
	tests/lint/test-names.py
	tests/sim/mutations.sh --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo check --locked --manifest-path speaker/fuzz/Cargo.toml
	cargo deny --locked --log-level error check bans licenses sources

# Apart from `lint`: an archive of the sources has no history.
.PHONY: lint-commits
lint-commits:
	tests/lint/commit-subjects.sh

.PHONY: unit
unit: deps-rust
	cargo test --locked --workspace --lib --bins
	cargo test --locked --workspace --doc

# Start at target/doc/lodestone_speaker_core/index.html.
.PHONY: doc
doc: deps-rust
	RUSTDOCFLAGS="-D rustdoc::broken_intra_doc_links -D rustdoc::private_intra_doc_links" \
	  cargo doc --locked --workspace --no-deps

# Cargo.toml is the source of the version; the chart repeats it.
.PHONY: version version-check
version:
	tests/lint/version.sh sync

version-check:
	@tests/lint/version.sh check

# Regenerates the lists of tests in docs/promises.md. Run it after you add or rename a test that
# starts with pN_.
.PHONY: promises
promises:
	tests/lint/promises.sh sync

# Days of virtual time: 100 000 random scenarios of faults, a thousand node-hours of loss and
# stalls, a thousand nodes.
.PHONY: sim-long
sim-long:
	LODESTONE_SEEDS=100000 cargo test --locked -p lodestone-sim -- --include-ignored --nocapture

# Breaks the rules of the speaker one at a time, and fails if no test notices.
.PHONY: sim-mutations
sim-mutations:
	tests/sim/mutations.sh

# All cluster tests, or those whose names contain a word: make e2e ONLY=quickstart
.PHONY: e2e
e2e: deps-cluster images
	tests/run.sh $(ONLY)

# Image archives for `ctr images import` and `docker load`: Lodestone's in target/images, the tests'
# in target/test-images.
.PHONY: images
images:
	RUSTFLAGS="$(STATIC_FLAGS)" cargo build --locked --release --target $(TARGET) \
	  -p lodestone-controller -p lodestone-speaker -p lodestone-tests --bin controller --bin speaker --bin testserver --bin pause
	cargo build --locked -p lodestone-tests --bin cluster
	mkdir -p target/images target/test-images
	$(CLUSTER) image lodestone/controller:$(VERSION) $(STATIC)/controller target/images/controller.tar
	$(CLUSTER) image lodestone/speaker:$(VERSION) $(STATIC)/speaker target/images/speaker.tar
	$(CLUSTER) image localhost/pause:1 $(STATIC)/pause target/test-images/pause.tar
	$(CLUSTER) image nginx:1.29 $(STATIC)/testserver target/test-images/testserver.tar

# Measures on real clusters: the controller, failover, and the cost of the speakers.
# FAILOVER="--rounds 3" runs fewer rounds.
.PHONY: bench bench-bins bench-controller bench-failover bench-cost
bench: bench-controller bench-failover bench-cost

bench-bins: deps-cluster images
	RUSTFLAGS="$(STATIC_FLAGS)" cargo build --locked --release --target $(TARGET) -p lodestone-bench --bins
	$(CLUSTER) image localhost/bareloop:1 $(STATIC)/bareloop target/test-images/bareloop.tar

bench-controller: bench-bins
	cargo bench --locked -p lodestone-controller
	$(STATIC)/bench --cluster $(abspath $(CLUSTER)) $(BENCH)

bench-failover: bench-bins
	$(STATIC)/failover --cluster $(abspath $(CLUSTER)) $(FAILOVER)
	$(STATIC)/failover --cluster $(abspath $(CLUSTER)) --set speaker.deputy=always --only killed $(FAILOVER)
	$(STATIC)/failover --cluster $(abspath $(CLUSTER)) --split --only carrier $(FAILOVER)

bench-cost: bench-bins
	$(STATIC)/cost --cluster $(abspath $(CLUSTER)) $(COST)

# Fuzzes each parser of untrusted bytes for a minute. RUSTC_BOOTSTRAP: the instrumentation needs
# unstable compiler flags.
.PHONY: fuzz
fuzz:
	cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz
	cd speaker && for target in $$(cargo fuzz list); do \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$target -- -max_total_time=$(or $(FUZZ),60) -max_len=2000; done

# Generates the chart's CustomResourceDefinitions from the types in crds/.
.PHONY: crds
crds:
	cargo run --locked -p lodestone-crds --bin crdgen -- charts/lodestone/files/crds.yaml

.PHONY: sandbox
sandbox:
	@LAYOUT=$(LAYOUT) tests/sandbox.sh up

.PHONY: sandbox-down
sandbox-down:
	@tests/sandbox.sh down

# Installs what is missing on this machine: everything, or only what one part needs.
.PHONY: deps deps-rust deps-lint deps-cluster deps-tools
deps: deps-cluster deps-lint deps-tools

deps-rust deps-lint deps-cluster deps-tools:
	@tests/deps.sh $(@:deps-%=%)
