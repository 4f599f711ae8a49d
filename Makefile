# The operator's image for docker-build, deploy and build-installer.
IMG ?= controller:latest
CONTAINER_TOOL ?= docker
KUBECTL ?= kubectl
# What docker-buildx and build-all build for.
PLATFORMS ?= linux/amd64,linux/arm64,linux/s390x,linux/ppc64le
# Build arguments of the image, such as --build-arg BASE_IMAGE=...; see the Dockerfile.
DOCKER_ARGS ?=
# How long the demo runs, such as 30s. Empty: until Ctrl-C.
DURATION ?=
# For bench: take few samples, to see that it works within two minutes.
QUICK ?=
# Flags of the operator for run, of the benchmark for bench.
ARGS ?=

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

LOCALBIN := $(CURDIR)/bin
CONTROLLER_GEN := $(LOCALBIN)/controller-gen
KUSTOMIZE := $(LOCALBIN)/kustomize
GOLANGCI_LINT := $(LOCALBIN)/golangci-lint
HELM := $(LOCALBIN)/helm
PROMTOOL := $(LOCALBIN)/promtool
CRD_REF_DOCS := $(LOCALBIN)/crd-ref-docs

comma := ,

# The folders of all Go modules of this repository.
MODULES := . $(patsubst %/go.mod,%,$(wildcard hack/*/go.mod hack/tools/*/go.mod))

##@ General

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*##"; printf "\nUsage:\n  make \033[36m<target>\033[0m\n"} \
		/^[a-zA-Z_0-9-]+:.*?##/ {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2} \
		/^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)}' $(MAKEFILE_LIST)

##@ Development

.PHONY: manifests
manifests: controller-gen ## Generate the CRD and the operator's role from the markers in the code, and copy them into the chart.
	$(CONTROLLER_GEN) rbac:roleName=manager-role crd paths=. paths=./api/... paths=./controllers/... \
		output:crd:artifacts:config=config/crd/bases
	@rm -rf config/chart/files && mkdir -p config/chart/files/rbac
	@cp config/crd/bases/locks.mongolock.dev_distributedlocks.yaml config/chart/files/crd.yaml
	@cp config/rbac/*role.yaml config/chart/files/rbac
	@cp config/prometheus/rules.yaml config/grafana/mongolock.json config/chart/files

.PHONY: generate
generate: controller-gen ## Generate the DeepCopy methods of the API types.
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: api-docs
api-docs: crd-ref-docs ## Generate docs/api.md from the comments of the API types.
	@$(CRD_REF_DOCS) --source-path=api --config=hack/tools/crd-ref-docs/config.yaml --templates-dir=hack/tools/crd-ref-docs/templates \
		--renderer=markdown --output-path=docs/api.md --log-level=ERROR

.PHONY: fmt
fmt: ## Format all Go code.
	gofmt -w .

.PHONY: vet
vet: ## Run go vet.
	go vet ./...

.PHONY: lint
lint: golangci-lint ## Run golangci-lint.
	$(GOLANGCI_LINT) run

.PHONY: tidy
tidy: ## Run go mod tidy in every module.
	@for module in $(MODULES); do echo "go mod tidy: $$module"; (cd "$$module" && go mod tidy); done

.PHONY: verify
verify: controller-gen kustomize golangci-lint helm promtool crd-ref-docs ## Check generated files, manifests, chart, alerts, format, vet, lint and go.mod of all modules.
	@hack/verify.sh

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what the product calls; needs the network for their database, takes ARGS.
	@hack/vuln.sh $(ARGS)

##@ Test

.PHONY: testenv
testenv: ## Get the servers for tests and demo; a fast no-op when they are there.
	@hack/testenv.sh

# Results are never taken from the cache: it knows nothing of the servers. Two packages at a time, as each may run
# servers of its own.
.PHONY: test
test: testenv kustomize helm promtool ## Run all tests on real servers, with the race detector.
	@command -v $(firstword $(shell go env CC)) >/dev/null || { \
		echo "make test: the race detector needs a C compiler: install gcc and libc6-dev, or set CC" >&2; exit 1; }
	@go build -o $(LOCALBIN)/testsum ./hack/testsum
	@go test -json -race -count=1 -p 2 -timeout 8m ./... | $(LOCALBIN)/testsum

.PHONY: fuzz
fuzz: ## Fuzz with every fuzz target, one after another; FUZZTIME=5m: how long each, default 1m.
	@hack/fuzz.sh $(or $(FUZZTIME),1m)

.PHONY: mongodb
mongodb: ## Start a MongoDB for your own use and print its URI.
	@hack/mongodb.sh start

.PHONY: mongodb-stop
mongodb-stop: ## Stop the MongoDB that make mongodb started.
	@hack/mongodb.sh stop

##@ Demo

.PHONY: demo
demo: testenv ## Run everything on this machine, live; DURATION=30s ends by itself and checks what it shows.
	@echo "Building the demo (the first time about a minute)"
	@go build -o $(LOCALBIN)/demo ./hack/demo
	@$(LOCALBIN)/demo $(if $(DURATION),--duration=$(DURATION))

.PHONY: bench
bench: testenv ## Measure the lock engine beside others, about 12 minutes on a quiet machine; QUICK=1: 2 minutes, no figures.
	@echo "Building the benchmark (the first time about a minute)"
	@mkdir -p $(LOCALBIN)/bench
	@cd hack/bench && go build -o $(LOCALBIN)/bench/bench .
	@$(LOCALBIN)/bench/bench $(if $(QUICK),-quick) $(ARGS)

.PHONY: bench-failover
bench-failover: testenv ## Race leader elections, with a Lease and with MongoDB, about 20 minutes on a quiet machine; QUICK=1: 2 minutes.
	@echo "Building the race (the first time about a minute)"
	@mkdir -p $(LOCALBIN)/bench
	@cd hack/bench && go build -o $(LOCALBIN)/bench/failover ./failover
	@$(LOCALBIN)/bench/failover $(if $(QUICK),-quick) $(ARGS)

.PHONY: bench-operator
bench-operator: testenv ## Measure the operator with 1,000 to 10,000 locks, about 15 minutes on a quiet machine; QUICK=1: 2 minutes, no figure.
	@echo "Building the benchmark (the first time about a minute)"
	@mkdir -p $(LOCALBIN)/bench
	@cd hack/bench && go build -o $(LOCALBIN)/bench/operator ./operator
	@$(LOCALBIN)/bench/operator $(if $(QUICK),-quick,-docs=docs/bench) $(ARGS)

.PHONY: torture
torture: testenv ## Break everything while workers use the locks, and judge; takes DURATION, SEED, FAULTS, ARGS, MONGODB_URI.
	@echo "Building the torture rig (the first time about a minute)"
	@cd hack/torture && go build -o $(LOCALBIN)/torturer .
	@$(LOCALBIN)/torturer $(if $(DURATION),-duration=$(DURATION)) $(if $(SEED),-seed=$(SEED)) $(if $(FAULTS),-faults=$(FAULTS)) $(ARGS)

##@ Build

.PHONY: build
build: ## Build the operator into bin/manager.
	go build -o $(LOCALBIN)/manager .

.PHONY: run
run: ## Run the operator on this machine against the current kubeconfig; needs MONGODB_URI, takes ARGS.
	go run . $(ARGS)

# The binary is static, so that what links for a platform runs on it.
.PHONY: build-all
build-all: ## Build the operator for all PLATFORMS into bin/.
	@for platform in $(subst $(comma), ,$(PLATFORMS)); do \
		os=$${platform%/*} arch=$${platform#*/}; echo "bin/manager-$$os-$$arch"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build -trimpath -ldflags="-s -w" -o "$(LOCALBIN)/manager-$$os-$$arch" .; \
	done

# What the image says of itself.
labels = --build-arg VERSION=$(shell git describe --tags --always --dirty) --build-arg REVISION=$(shell git rev-parse HEAD)

.PHONY: docker-build
docker-build: ## Build the operator's image IMG, for this machine; takes DOCKER_ARGS.
	$(CONTAINER_TOOL) build $(labels) $(DOCKER_ARGS) -t $(IMG) .

# Several platforms are one image only in a registry, so it is pushed.
.PHONY: docker-buildx
docker-buildx: ## Build the operator's image IMG for all PLATFORMS, and push it, with its provenance and list of parts; takes DOCKER_ARGS.
	$(CONTAINER_TOOL) buildx build --platform=$(PLATFORMS) --provenance=mode=max --sbom=true $(labels) $(DOCKER_ARGS) --push -t $(IMG) .

# Prints the whole installation for IMG. Works on a copy, so that config/ keeps its placeholder.
define installation
copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; cp -R config "$$copy"; \
	(cd "$$copy/config/manager" && $(KUSTOMIZE) edit set image controller=$(IMG)); \
	$(KUSTOMIZE) build "$$copy/config/default"
endef

.PHONY: build-installer
build-installer: manifests kustomize ## Write dist/install.yaml: CRD, roles and the operator with image IMG.
	@mkdir -p dist
	@$(installation) > dist/install.yaml
	@echo "Wrote dist/install.yaml; install it with: $(KUBECTL) apply --server-side -f dist/install.yaml"

##@ Deployment

.PHONY: install
install: manifests kustomize ## Install the CRD into the current cluster.
	$(KUSTOMIZE) build config/crd | $(KUBECTL) apply --server-side -f -

# Deletes all objects while the operator still runs: those with a policy have a finalizer, which only it takes away. Once the CRD is
# being deleted, an object that is left would hold it up for ever.
define delete_objects
crd=$$($(KUBECTL) get crd distributedlocks.locks.mongolock.dev --ignore-not-found -o name); \
if [ -n "$$crd" ]; then \
	$(KUBECTL) delete distributedlocks.locks.mongolock.dev --all --all-namespaces --timeout=70s || { \
		echo "Some DistributedLocks are still there. Does the operator run? It must take away their finalizers; see kubectl get dlock -A." >&2; \
		exit 1; }; \
fi
endef

.PHONY: uninstall
uninstall: kustomize ## Remove the CRD, and before it all DistributedLock objects, from the current cluster.
	@$(delete_objects)
	$(KUSTOMIZE) build config/crd | $(KUBECTL) delete --ignore-not-found -f -

# To switch on monitoring or the network policy, edit config/default/kustomization.yaml. The operator waits for the Secret with the
# connection string, see config/manager/manager.yaml.
.PHONY: deploy
deploy: manifests kustomize ## Install CRD and operator, image IMG, into the current cluster.
	@$(installation) | $(KUBECTL) apply --server-side -f -

# With the CRD go all objects, in all namespaces, whoever made them. The locks and those who hold them stay: they are in MongoDB.
.PHONY: undeploy
undeploy: kustomize ## Remove all DistributedLock objects, then what deploy installed, the CRD included.
	@$(delete_objects)
	$(KUSTOMIZE) build config/default | $(KUBECTL) delete --ignore-not-found -f -

##@ Tools

.PHONY: controller-gen kustomize golangci-lint helm promtool crd-ref-docs
controller-gen: $(CONTROLLER_GEN) ## Build controller-gen into bin/.
kustomize: $(KUSTOMIZE) ## Build kustomize into bin/.
golangci-lint: $(GOLANGCI_LINT) ## Build golangci-lint into bin/ (minutes the first time).
helm: $(HELM) ## Build helm into bin/ (minutes the first time).
promtool: $(PROMTOOL) ## Build promtool into bin/ (minutes the first time).
crd-ref-docs: $(CRD_REF_DOCS) ## Build crd-ref-docs into bin/.

# Pinned in a go.mod; built once per machine and linked.
$(CONTROLLER_GEN) $(KUSTOMIZE) $(GOLANGCI_LINT): hack/tools/go.mod
$(HELM): hack/tools/helm/go.mod
$(PROMTOOL): hack/tools/promtool/go.mod
$(CRD_REF_DOCS): hack/tools/crd-ref-docs/go.mod
$(CONTROLLER_GEN) $(KUSTOMIZE) $(GOLANGCI_LINT) $(HELM) $(PROMTOOL) $(CRD_REF_DOCS):
	@hack/tools/build.sh $(@F)
