#!/usr/bin/env bash
# Looks for known vulnerabilities in what the operator and the packages call. Needs the database of the Go project, over the network.
# usage: hack/vuln.sh [flags of govulncheck, such as -db=file:///a/copy/of/the/database]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

(cd hack/tools/govulncheck && go build -buildvcs=false -o ../../../bin/govulncheck golang.org/x/vuln/cmd/govulncheck)
code=0
bin/govulncheck "$@" . ./api/... ./controllers/... ./pkg/... || code=$?
case $code in
0) ;;
3) echo "vuln: the calls above reach vulnerable code: update the modules it is in, with go get, then make tidy" >&2 ;;
*)
	echo "vuln: nothing was checked. If the database could not be reached, run this where the network has it, or copy it and call" >&2
	echo "  make vuln ARGS=-db=file:///a/copy/of/the/database" >&2
	;;
esac
exit "$code"
