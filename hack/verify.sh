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

api_reference() {
	cp docs/api.md "$scratch/api.md" || return
	make api-docs || return
	if ! diff -u "$scratch/api.md" docs/api.md; then
		echo "docs/api.md was out of date and has now been generated anew: commit it."
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

# Every overlay, and the default one with each of its sections switched on, and with all.
manifests_build() {
	local folder section
	for folder in config/*/kustomization.yaml; do
		bin/kustomize build "${folder%/*}" >/dev/null || return
	done
	cp -R config "$scratch/config" || return
	for section in $(sed -n 's/^#- //p' config/default/kustomization.yaml) '.*'; do
		sed "s|^#- \($section\)\$|- \1|" config/default/kustomization.yaml >"$scratch/config/default/kustomization.yaml" || return
		bin/kustomize build "$scratch/config/default" >/dev/null || return
	done
}

# With the default values, and with all that can be switched on.
chart() {
	local everything=serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true,networkPolicy.enabled=true,metrics.certificate.certManager=true
	bin/helm lint --strict config/chart || return
	bin/helm lint --strict config/chart --set "$everything,mirrorUndeclared=locks,allowForeignIDs=true" || return
	bin/helm template mongolock config/chart >/dev/null || return
	bin/helm template mongolock config/chart --set "$everything,mirrorUndeclared=locks,allowForeignIDs=true" >/dev/null
}

# Promtool takes the groups of rules without what Kubernetes wants around them.
alerts() {
	mkdir "$scratch/alerts" || return
	sed -n '/^spec:$/,$ s/^  //p' config/prometheus/rules.yaml >"$scratch/alerts/rules.yaml" || return
	cp config/prometheus/tests.yaml "$scratch/alerts" || return
	bin/promtool check rules --lint=all --lint-fatal "$scratch/alerts/rules.yaml" || return
	bin/promtool test rules "$scratch/alerts/tests.yaml"
}

# Another processor than that of this machine, so that nothing of it is relied on.
cross_build() {
	local other=arm64
	[ "$(go env GOARCH)" != arm64 ] || other=amd64
	make build-all PLATFORMS="linux/$other"
}

check "generated files" generated
check "docs/api.md" api_reference
check "kustomize build" manifests_build
check "chart" chart
check "alerts" alerts
check "build for another platform" cross_build
check "gofmt" formatted
for module in . hack/*/ hack/tools/*/; do
	module=${module%/}
	[ -f "$module/go.mod" ] || continue
	check "go mod tidy, $module" in_folder "$module" tidy
	case $module in hack/tools | hack/tools/*) continue ;; esac # no code
	check "go vet, $module" in_folder "$module" go vet ./...
	check "golangci-lint, $module" in_folder "$module" "$PWD/bin/golangci-lint" run
done

if [ "$failures" -gt 0 ]; then
	echo "verify: $failures checks failed" >&2
	exit 1
fi
echo "verify: all checks passed"
