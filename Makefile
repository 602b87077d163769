# What is here: test (everything, as CI does), lint, unit, e2e, sim-long, sim-mutations, fuzz, bench, images, crds, sandbox, sandbox-down, deps.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

TARGET := $(shell uname -m)-unknown-linux-gnu
# Static, so that an image holds nothing else; relocations packed where the C library of this machine can unpack them (from 2.36 on).
RELR := $(shell printf '2.36\n%s' "$$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)" | sort -CV && echo ' -C link-arg=-Wl,-z,pack-relative-relocs')
STATIC_FLAGS := -C target-feature=+crt-static$(RELR)
STATIC := target/$(TARGET)/release
VERSION := v$(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
CLUSTER := target/debug/cluster

.PHONY: test
test: deps lint unit images
	tests/kubernetes/build.sh >/dev/null
	tests/run.sh

.PHONY: lint
lint: deps
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo deny --locked --log-level error check bans licenses sources
	gofmt -l tests/kubernetes | (! grep .)

.PHONY: unit
unit:
	cargo test --locked --workspace --lib --bins

# Days of virtual time: 100 000 stories of faults, a thousand node-hours of loss and stalls, a thousand nodes.
.PHONY: sim-long
sim-long:
	LODESTONE_SEEDS=100000 cargo test --locked -p lodestone-sim -- --include-ignored --nocapture

# Breaks the rules of ownership one by one, and looks whether the simulator notices.
.PHONY: sim-mutations
sim-mutations:
	tests/sim/mutations.sh

# One test of the cluster tests, or all: make e2e ONLY=quickstart
.PHONY: e2e
e2e: deps images
	tests/run.sh $(ONLY)

# Archives that `ctr images import` and `docker load` take: those of Lodestone in target/images, those of the tests beside them.
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

# Figures, on real clusters: of the controller, of failover, and of what the speakers cost. FAILOVER="--rounds 3", for example, for fewer of them.
.PHONY: bench bench-bins bench-controller bench-failover bench-cost
bench: bench-controller bench-failover bench-cost

bench-bins: deps images
	RUSTFLAGS="$(STATIC_FLAGS)" cargo build --locked --release --target $(TARGET) -p lodestone-bench --bins
	$(CLUSTER) image localhost/bareloop:1 $(STATIC)/bareloop target/test-images/bareloop.tar

bench-controller: bench-bins
	cargo bench --locked -p lodestone-controller
	$(STATIC)/bench --cluster $(abspath $(CLUSTER)) $(BENCH)

bench-failover: bench-bins
	$(STATIC)/failover --cluster $(abspath $(CLUSTER)) $(FAILOVER)
	$(STATIC)/failover --cluster $(abspath $(CLUSTER)) --set speaker.caretaker=always --only killed $(FAILOVER)
	$(STATIC)/failover --cluster $(abspath $(CLUSTER)) --split --only carrier $(FAILOVER)

bench-cost: bench-bins
	$(STATIC)/cost --cluster $(abspath $(CLUSTER)) $(COST)

# Bytes of enemies for a minute a target (cargo-fuzz; the instrumentation asks for switches of a nightly compiler).
.PHONY: fuzz
fuzz:
	cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz
	cd speaker && for target in $$(cargo fuzz list); do \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$target -- -max_total_time=$(or $(FUZZ),60) -max_len=2000; done

# The CustomResourceDefinitions of the chart, from the types in crds/.
.PHONY: crds
crds:
	cargo run --locked -p lodestone-crds --bin crdgen -- charts/lodestone/files/crds.yaml

.PHONY: sandbox
sandbox:
	@tests/sandbox.sh up

.PHONY: sandbox-down
sandbox-down:
	@tests/sandbox.sh down

# Installs what is missing on this machine.
.PHONY: deps
deps:
	@tests/deps.sh
