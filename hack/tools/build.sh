#!/usr/bin/env bash
# Puts one tool of hack/tools/go.mod into bin/. It is built once per machine and version: bin/ only has a link.
# usage: hack/tools/build.sh controller-gen|kustomize|golangci-lint
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

case "${1:-}" in
controller-gen) package=sigs.k8s.io/controller-tools/cmd/controller-gen takes="half a minute" ;;
kustomize) package=sigs.k8s.io/kustomize/kustomize/v5 takes="half a minute" ;;
golangci-lint) package=github.com/golangci/golangci-lint/v2/cmd/golangci-lint takes="about 2 minutes on two cores" ;;
*)
	echo "build.sh: unknown tool '${1:-}': want controller-gen, kustomize or golangci-lint" >&2
	exit 2
	;;
esac

# The compiler is part of the key: golangci-lint refuses code of a newer Go than the one that built it.
key=$({ cat go.mod go.sum && go version; } | sha256sum | cut -c1-16)
cache=${MONGOLOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mongolock}/tools-$key

if [ ! -x "$cache/$1" ]; then
	echo "Building $1 $(go list -f '{{.Module.Version}}' "$package"), $takes the first time" >&2
	begin=$SECONDS
	mkdir -p "$cache"
	# Built beside and moved into place: two builds at once, or one that is interrupted, leave no half a tool.
	scratch=$(mktemp -d "$cache/build.XXXXXX")
	trap 'rm -rf "$scratch"' EXIT
	go build -buildvcs=false -ldflags="-s -w" -o "$scratch/$1" "$package"
	mv -f "$scratch/$1" "$cache/$1"
	echo "Built $1 in $((SECONDS - begin)) s; kept in $cache" >&2
fi

# make compares the time of what the link points to with that of go.mod, which is new in a fresh clone.
touch "$cache/$1"
mkdir -p ../../bin
ln -sfn "$cache/$1" "../../bin/$1"
