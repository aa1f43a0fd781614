# The front door. Every target installs what it needs from packages.txt, builds, and runs; a second call does no needless work.

SHELL := /bin/bash
BUILD ?= build/release
JOBS ?= $(shell nproc)
SECONDS_EACH ?= 60
FAILOVERS ?= 20
HISTORY ?= 1000
KILLS ?= 2000
PYTHON := /usr/bin/python3
# Servers and Python of the tests must not see what the user's shell has set for its own.
CTEST := ctest --test-dir $(BUILD) --output-on-failure --no-tests=error

.DEFAULT_GOAL := help
.PHONY: help packages lint-packages conformance-packages build all-targets demo test conformance lint tidy-all fuzz bench bench-follow bench-jobs bench-lake soak clean

help: ## what can be done here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

packages:
	@tools/install-packages build

lint-packages:
	@tools/install-packages build lint

conformance-packages:
	@tools/install-packages build conformance

build: packages ## build signalbox and signalbox-lab into build/release
	@mkdir -p build
	@[ -f $(BUILD)/build.ninja ] || cmake --preset release -B $(BUILD) -Wno-dev >build/configure.log 2>&1 || { tail -n 30 build/configure.log >&2; exit 3; }
	@ninja -C $(BUILD) -j $(JOBS) signalbox signalbox-lab

all-targets: build
	@ninja -C $(BUILD) -j $(JOBS)

demo: build ## the main job end to end: a pipeline survives a real failover (needs root); leaves out/demo/report.html
	@$(PYTHON) tools/demo --build $(BUILD)

test: all-targets ## unit, simulation, and integration tests with real servers (needs root)
	@set -o pipefail; $(CTEST) | tee build/test-output.txt; status=$$?; \
		sed -n '/tests passed/,$$p' build/test-output.txt >build/test-summary.txt; exit $$status

conformance: conformance-packages all-targets ## other people's clients and writers with us (also from PyPI, pinned, into build/)
	@tools/conformance $(BUILD)

lint: lint-packages ## format, clang-tidy on what changed, layer and header checks
	@tools/lint $(BUILD)

tidy-all: lint-packages ## clang-tidy on everything
	@tools/lint $(BUILD) --all

fuzz: lint-packages ## every fuzzer for SECONDS_EACH seconds
	@tools/fuzz $(SECONDS_EACH)

bench-follow: build conformance-packages ## the follower's figures beside their peers (about 70 minutes); ONLY="SERIES…" for a part
	@ninja -C $(BUILD) -j $(JOBS) relay_bench failover_probe
	@$(PYTHON) bench/follow.py --build $(BUILD) --failovers $(FAILOVERS) $(foreach series,$(ONLY),--only $(series)) $(if $(ONLY),--keep)

bench-jobs: build ## the figures of choosing (about 60 minutes, needs root); ONLY="kills burst…" for a part, KILLS=N
	@ninja -C $(BUILD) -j $(JOBS) jobs_bench
	@$(PYTHON) bench/jobs.py --build $(BUILD) --kills $(KILLS) $(foreach series,$(ONLY),--only $(series))

bench-lake: build conformance-packages ## the figures of watching tables (about 25 minutes); ONLY="share peak…" for a part, NAB=FOLDER
	@ninja -C $(BUILD) -j $(JOBS) lake_bench lake_avro_peer alarms_bench
	@$(PYTHON) bench/lake.py --build $(BUILD) $(foreach series,$(ONLY),--only $(series))
	@$(if $(ONLY),true,$(PYTHON) bench/lake_alarms.py --build $(BUILD))
	@$(if $(NAB),$(PYTHON) bench/nab.py --build $(BUILD) --nab $(NAB),true)

bench: build ## all figures of docs/benchmarks.md, measured now; FAILOVERS=N per series of the follower
	-@$(MAKE) --no-print-directory bench-follow
	-@$(MAKE) --no-print-directory bench-jobs
	-@$(MAKE) --no-print-directory bench-lake
	@$(PYTHON) bench/run.py --build $(BUILD)

soak: all-targets ## long random failovers with real servers; HISTORY=N per engine
	@$(PYTHON) bench/run.py --build $(BUILD) --kills 200 --only lost
	@SIGNALBOX_HISTORY_FAILOVERS=$(HISTORY) SIGNALBOX_BIN=$(abspath $(BUILD))/signalbox SIGNALBOX_LAB_BIN=$(abspath $(BUILD))/signalbox-lab \
		SIGNALBOX_HISTORY_CLIENT=$(abspath $(BUILD))/test/history_client $(PYTHON) -m pytest -q -s -p no:cacheprovider test/history

clean: ## remove what was built and written
	rm -rf build out
