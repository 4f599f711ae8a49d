#!/usr/bin/env bash
# Fuzzes with every fuzz target of this module, one after another, and goes on after one that fails. No server is needed.
# usage: hack/fuzz.sh <time for each, such as 5m> [<part of the names of the targets>]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# targets prints "<package> <target>" of each.
targets() {
	local import folder file
	go list -f '{{.ImportPath}} {{.Dir}}' ./... | while read -r import folder; do
		for file in "$folder"/*_test.go; do
			[ -f "$file" ] || continue
			sed -n "s|^func \(Fuzz[A-Za-z0-9_]*\)(f \*testing.F).*|$import \1|p" "$file"
		done
	done
}

all=$(targets | grep -e "Fuzz.*${2-}" || true)
[ -n "$all" ] || { echo "fuzz: there is no such target" >&2 && exit 2; }
total=$(wc -l <<<"$all")
n=0
failed=()
while read -r package target; do
	n=$((n + 1))
	printf '\n[%d/%d] %s in %s, for %s\n' "$n" "$total" "$target" "$package" "$1"
	# Coverage differs from run to run, by the garbage collector and the order of maps, so to minimise an input for as long as it
	# takes, which is a minute by default, would be most of the work.
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" -fuzzminimizetime 50x -parallel "$(getconf _NPROCESSORS_ONLN)" "$package" </dev/null ||
		failed+=("$target")
done <<<"$all"

echo
if [ ${#failed[@]} -gt 0 ]; then
	echo "fuzz: failed: ${failed[*]}; the inputs are in testdata/fuzz of their packages" >&2
	exit 1
fi
echo "fuzz: $total targets found nothing; what they found interesting is in \$(go env GOCACHE)/fuzz, and they begin there next time"
