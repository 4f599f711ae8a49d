#!/usr/bin/env bash
# Checks everything that needs no server, one line each, and goes on after a failure to show them all.
# usage: make verify (which also makes the tools in bin/)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

# check <name> <command...>: silent when it passes, the head of the command's output when it fails.
check() {
	local name=$1 begin=$SECONDS
	shift
	if "$@" >"$scratch/output" 2>&1; then
		printf 'ok      %-28s %3d s\n' "$name" $((SECONDS - begin))
	else
		printf 'FAILED  %-28s %3d s\n' "$name" $((SECONDS - begin))
		awk 'NR <= 60 { print "        " $0 }
			END { if (NR > 60) print "        ... and " NR - 60 " lines more" }' "$scratch/output"
		failures=$((failures + 1))
	fi
}

in_folder() { (cd "$1" && shift && "$@"); }

# Compared with what was there before, not with a commit, so that it also holds while work is not committed.
generated() {
	mkdir "$scratch/before" || return
	cp -R api config "$scratch/before" || return
	make generate manifests || return
	local same=true folder
	for folder in api config; do
		diff -ru "$scratch/before/$folder" "$folder" || same=false
	done
	if ! $same; then
		echo "These files were out of date and have now been generated anew: commit them."
		return 1
	fi
}

formatted() {
	local files
	files=$(gofmt -l .)
	if [ -n "$files" ]; then
		echo "$files"
		echo "Not formatted: run make fmt."
		return 1
	fi
}

tidy() {
	go mod tidy -diff || { echo "Not tidy: run make tidy." && return 1; }
}

manifests_build() {
	local folder
	for folder in config/crd config/default config/samples; do
		bin/kustomize build "$folder" >/dev/null || return
	done
}

check "generated files" generated
check "kustomize build" manifests_build
check "gofmt" formatted
for module in . hack/*/; do
	module=${module%/}
	[ -f "$module/go.mod" ] || continue
	check "go mod tidy, $module" in_folder "$module" tidy
	[ "$module" = hack/tools ] && continue # no code
	check "go vet, $module" in_folder "$module" go vet ./...
	check "golangci-lint, $module" in_folder "$module" "$PWD/bin/golangci-lint" run
done

if [ "$failures" -gt 0 ]; then
	echo "verify: $failures checks failed" >&2
	exit 1
fi
echo "verify: all checks passed"
