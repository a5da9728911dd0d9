SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

FUZZTIME ?= 10s
GOBENCH ?= .
PACKAGES ?= cache/... pool pool/conn/... sidecar/...
N ?= 50
SEED ?= 1
WORKERS ?= 1
MIN ?= 90
LINT := go tool -modfile=tools/go.mod golangci-lint
PYRIGHT := tools/node_modules/.bin/pyright
AXE := e2e/browser/node_modules/axe-core/axe.min.js

# e2e/browser/tab_test.go looks for the same names.
CHROMIUM = @command -v chromium-headless-shell chromium google-chrome >/dev/null || \
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium-headless-shell fonts-dejavu-core; }

# The race detector needs a C compiler; without one Go says CGO_ENABLED=0.
RACE = $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

.PHONY: build
build: ## build the extension for this machine: ./hearth
	CGO_ENABLED=0 go build -tags "$$(<internal/buildtags/tags)" -trimpath -buildvcs=false -ldflags "$$(internal/buildtags/stamp.sh)" -o hearth .

.PHONY: test
test: ## run the unit tests: Go with the race detector, and Python if there is one
	@[ -n "$(RACE)" ] || echo "no C compiler: testing without the race detector"
	go test $(RACE) -timeout 25m ./...
	cd examples/go && go test $(RACE) ./...
	cd bench && go test $(RACE) ./...
	cd internal/testing/openapi && go test ./...
	cd tools && go test ./...
	@if command -v python3 >/dev/null; then \
		echo "cd client/python && python3 -m unittest discover -s tests -t ."; \
		(cd client/python && PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover -s tests -t .); \
		echo "python3 examples/python/test_parallel_performance.py"; \
		PYTHONDONTWRITEBYTECODE=1 python3 examples/python/test_parallel_performance.py; \
	else \
		echo "no python3: the Python client is not tested"; \
	fi

.PHONY: lint
lint: ## check style, formatting, the arrows between packages and the types of the Python client (with npm)
	$(LINT) run
	cd examples/go && go tool -modfile=../../tools/go.mod golangci-lint run
	cd bench && go tool -modfile=../tools/go.mod golangci-lint run
	cd e2e/browser && go tool -modfile=../../tools/go.mod golangci-lint run
	cd internal/testing/openapi && go tool -modfile=../../../tools/go.mod golangci-lint run
	cd tools && go tool golangci-lint run
	@if command -v npm >/dev/null; then \
		$(MAKE) --silent $(PYRIGHT) && $(PYRIGHT) --project tools; \
	elif [ -n "$${CI:-}" ]; then \
		echo "no npm: install Node.js with npm, so that the types of the Python client are checked" >&2; exit 1; \
	else \
		echo "no npm: the types of the Python client are not checked"; \
	fi

$(PYRIGHT): tools/package-lock.json
	npm ci --prefix tools --ignore-scripts --no-audit --no-fund
	touch $@

.PHONY: fmt
fmt: ## format the Go files
	$(LINT) fmt

.PHONY: openapi
openapi: ## write sidecar/openapi.json, which GET /openapi.json serves, from docs/openapi.yaml
	cd internal/testing/openapi && go test -run Served -count=1 . -update

.PHONY: fuzz
fuzz: ## fuzz every fuzz target for FUZZTIME (10s) each
	tools/fuzz.sh $(FUZZTIME)

# A mistake may take memory without end: so there is a limit for each process.
.PHONY: mutate
mutate: ## plant N (50; 0: all) mistakes in each of PACKAGES and name those that no test notices (SEED, WORKERS, MIN: 90 %)
	ulimit -d 6000000; cd tools && go run ./mutate -n $(N) -seed $(SEED) -workers $(WORKERS) -min $(MIN) $(addprefix ./,$(PACKAGES))

.PHONY: bench
bench: ## measure Hearth beside bare fasthttp, nginx and Redis, and judge the limits (BENCH="-short", "-only speed")
	cd bench && go run . $(BENCH)

.PHONY: gobench
gobench: ## run the Go benchmarks that match GOBENCH (all)
	go test -run '^$$' -bench '$(GOBENCH)' -benchmem ./...

.PHONY: layer
layer: ## build the Lambda layers: dist/hearth-layer-*.zip
	./layer.zip.sh

# Slow to build, so only what is missing is built.
dist/hearth-layer-%.zip:
	./layer.zip.sh

.PHONY: deploy-check
deploy-check: dist/hearth-layer-arm64.zip deploy/cdk/node_modules/.package-lock.json ## check everything in deploy/, offline: templates, the CDK construct, and that the code emits what they name (npm)
	cd deploy/cdk && npm run --silent check

deploy/cdk/node_modules/.package-lock.json: deploy/cdk/package-lock.json
	npm ci --prefix deploy/cdk --ignore-scripts --no-audit --no-fund
	touch $@

.PHONY: demo
demo: ## show a chatbot's calls with and without Hearth, on this machine
	go run ./internal/testing/demo

.PHONY: lambda
lambda: ## run the layer under a double of Lambda: every initialization type, three sizes (LAMBDA=-short)
	go run ./internal/testing/lambdarun $(LAMBDA)

.PHONY: freeze
freeze: ## freeze sandboxes 300 times while their connections break: nothing fails, nothing is stale (FREEZE=-short)
	go run ./internal/testing/freeze $(FREEZE)

.PHONY: chaos
chaos: ## break the upstreams in every way, make every call, and judge every reply (CHAOS=-short, "-faults regexp", "-without defence")
	go run ./internal/testing/chaos $(CHAOS)

.PHONY: e2e
e2e: ## test against a real Weaviate (WEAVIATE=version, a folder of e2e/weaviate) and a real Odoo (ODOO=14 or 19; E2E=optional skips what cannot run here)
	cd e2e && HEARTH_E2E_WEAVIATE=$(WEAVIATE) HEARTH_E2E_ODOO=$(ODOO) go test -p 1 -count=1 -timeout 25m ./...

.PHONY: browser
browser: $(AXE) ## drive the page at /debug/ in a headless Chromium under load (npm; without a Chromium it installs Debian's: root)
	$(CHROMIUM)
	cd e2e/browser && go test -count=1 -timeout 5m ./...

.PHONY: screenshots
screenshots: ## take the pictures of the page that README.md shows, after a minute of load
	$(CHROMIUM)
	cd e2e/browser && go test -count=1 -timeout 5m -run Screenshots . -screenshots ../../docs

$(AXE): e2e/browser/package-lock.json
	npm ci --prefix e2e/browser --ignore-scripts --no-audit --no-fund
	touch $@

.PHONY: clean
clean: ## remove what was built here
	rm -rf dist hearth tools/node_modules e2e/browser/node_modules deploy/cdk/node_modules deploy/cdk/cdk.out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
