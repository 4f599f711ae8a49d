#!/usr/bin/env bash
# Puts one tool of a go.mod below this folder into bin/. It is built once per machine and version: bin/ only has a link.
# usage: hack/tools/build.sh controller-gen|kustomize|golangci-lint|helm|promtool|crd-ref-docs
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
bin=$(cd ../.. && pwd)/bin

tool=${1:-} module=. tags=''
case $tool in
controller-gen) package=sigs.k8s.io/controller-tools/cmd/controller-gen takes="half a minute" ;;
kustomize) package=sigs.k8s.io/kustomize/kustomize/v5 takes="half a minute" ;;
golangci-lint) # with a plugin that knows the API conventions of Kubernetes
	package=sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter takes="about 2 minutes on two cores"
	;;
helm) module=helm package=helm.sh/helm/v4/cmd/helm takes="about 2 minutes on two cores" ;;
promtool)
	module=promtool package=github.com/prometheus/prometheus/cmd/promtool takes="about 2 minutes on two cores"
	tags=remove_all_sd # the clients of some twenty clouds, of no use to check rules
	;;
crd-ref-docs) module=crd-ref-docs package=github.com/elastic/crd-ref-docs takes="half a minute" ;;
*)
	echo "build.sh: unknown tool '$tool': want controller-gen, kustomize, golangci-lint, helm, promtool or crd-ref-docs" >&2
	exit 2
	;;
esac
cd "$module"

# The compiler is part of the key: golangci-lint refuses code of a newer Go than the one that built it.
key=$({ cat go.mod go.sum && go version; } | sha256sum | cut -c1-16)
cache=${MONGOLOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mongolock}/tools-$key

if [ ! -x "$cache/$tool" ]; then
	echo "Building $tool $(go list -tags "$tags" -f '{{.Module.Version}}' "$package"), $takes the first time" >&2
	begin=$SECONDS
	mkdir -p "$cache"
	# Built beside and moved into place: two builds at once, or one that is interrupted, leave no half a tool.
	scratch=$(mktemp -d "$cache/build.XXXXXX")
	trap 'rm -rf "$scratch"' EXIT
	go build -buildvcs=false -tags "$tags" -ldflags="-s -w" -o "$scratch/$tool" "$package"
	mv -f "$scratch/$tool" "$cache/$tool"
	echo "Built $tool in $((SECONDS - begin)) s; kept in $cache" >&2
fi

# make compares the time of what the link points to with that of go.mod, which is new in a fresh clone.
touch "$cache/$tool"
mkdir -p "$bin"
ln -sfn "$cache/$tool" "$bin/$tool"
