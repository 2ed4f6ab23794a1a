# The front door: every target is one line of what a person would type. Details live in cmake/, tests/ and bench/.
#
#   make            build the programs (release)         make demo     bring up a routed fabric and measure it
#   make test       build, run every test                make check    format, layers, lint
#   make sanitize   unit and flow tests, asan and tsan   make fuzz     fuzz targets, 60 s each
#   make soak       long random tests: 20,000 stores against three models, 1,000 of them by packets; 24,000 transactions;
#                   100,000 assigns and releases of 32 processes that are killed one after the other
#                   1,000 seeds of routes beside BIRD, hostile peers in full size
#   make bench      figures beside the peers' figures    make install  DESTDIR=, prefix=/usr/local

SHELL := /bin/bash
PRESET ?= release
BUILD := build/$(PRESET)
TEST_BUILD := build/dev
JOBS ?= $(shell nproc)
SECONDS_EACH ?= 60
prefix ?= /usr/local
ONLY ?=

.PHONY: all build benches deps test soak demo bench bench-quick check format layers lint sanitize fuzz install clean
.DEFAULT_GOAL := build

all: build

deps:
	@packaging/install-deps

$(BUILD)/build.ninja: deps
	@cmake --preset $(PRESET) > build-configure.log 2>&1 || { cat build-configure.log; rm -f build-configure.log; exit 1; }
	@rm -f build-configure.log

build: $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS) --target margay_layers margay_programs

benches: build
	@cmake --build $(BUILD) -j $(JOBS) --target margay_benches

# Tests run on the build with warnings as errors and without optimisation, which is also the faster one to make.
test: deps
	@mkdir -p build
	@cmake --preset dev > build/dev-configure.log 2>&1 || { cat build/dev-configure.log; exit 1; }
	@cmake --build $(TEST_BUILD) -j $(JOBS)
	@tests/run --build $(TEST_BUILD)

# About half an hour. Optimised, as only numbers of stores make it long.
soak: build
	@cmake --build $(BUILD) -j $(JOBS) --target flow_policy flow_ipam kernel_kernel interop_decision interop_hostile
	@MARGAY_SEEDS=20000 $(BUILD)/bin/flow_policy --test-suite=flow.policy
	@MARGAY_IPAM_OPERATIONS=100000 $(BUILD)/bin/flow_ipam --test-suite=ipam.concurrent
	@MARGAY_PACKET_SEEDS=1000 $(BUILD)/bin/kernel_kernel --test-suite=kernel.policy
	@MARGAY_TRANSACTIONS=24000 $(BUILD)/bin/kernel_kernel --test-suite=kernel.nft.random
	@MARGAY_SEEDS=1000 $(BUILD)/bin/interop_decision
	@MARGAY_HOSTILE=full $(BUILD)/bin/interop_hostile

demo: build
	@$(BUILD)/bin/margay-demo

bench: benches
	@bench/run --build $(BUILD) --only "$(ONLY)"

bench-quick: benches
	@bench/run --build $(BUILD) --only "$(ONLY)" --quick

check: deps format layers lint

format:
	@find . -path ./build -prune -o \( -name '*.h' -o -name '*.cpp' \) -print0 | xargs -0 clang-format-14 --dry-run -Werror
	@echo "format: clean"

layers:
	@cmake -DROOT=$(CURDIR) -P cmake/CheckLayers.cmake
	@echo "layers: clean"

lint: deps
	@tests/lint

sanitize: deps
	@tests/sanitize

fuzz: deps
	@tests/fuzz/run $(SECONDS_EACH)

install: build
	@DESTDIR=$(DESTDIR) cmake --install $(BUILD) --prefix $(prefix)

clean:
	rm -rf build
