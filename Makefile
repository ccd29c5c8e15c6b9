# The commands for people. Cargo and the scripts do the work.

PREFIX ?= /usr/local
TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(abspath $(TARGET))/release
XCLUSTER := $(BIN)/xcluster

.PHONY: help start stop build test lint bench install

help: ## List these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 16

start: ## Install what is missing, build, and start the default cluster
	@scripts/set-up start
	@$(MAKE) --no-print-directory build
	@$(XCLUSTER) status 2>/dev/null || $(XCLUSTER) start
	@case ":$$PATH:" in *":$(BIN):"*) ;; *) printf '\nfor this terminal: PATH="$$PATH:%s"\n' "$(BIN)" ;; esac

stop: ## Stop the default cluster
	@$(XCLUSTER) stop

build: ## Build the program
	cargo build --release --locked --package xcluster-cli

test: ## Install what is missing, and run all checks and tests
	@scripts/set-up test
	@scripts/test

lint: ## Check spelling, and licences of dependencies, with the tools that are installed
	@scripts/lint

bench: ## Measure the figures of docs/performance.md again
	@scripts/set-up start
	cargo build --release --locked --package xcluster-cli --package xcluster-benches
	@for bench in boot exec idle plan namespace taps throughput; do $(BIN)/$$bench || exit 1; done

install: build ## Install the program, its manual and its completions under PREFIX (default /usr/local)
	install -D -m 0755 $(XCLUSTER) $(DESTDIR)$(PREFIX)/bin/xcluster
	scripts/install-docs $(XCLUSTER) $(DESTDIR)$(PREFIX)/share
