#!/usr/bin/env bash
# Copyright 2026 The mongolock Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Usage: testenv.sh [kubernetes | mongodb | feed | --print]
#
# Gets the real servers that tests and the demo run on, into a cache that all checkouts of this user share:
# $MONGOLOCK_CACHE, else $XDG_CACHE_HOME/mongolock, else ~/.cache/mongolock. What is there is not made again. The name
# of each folder carries the version or a hash of what it is made from, so that a folder that exists is finished and
# current; older ones may be deleted at any time when no server runs.
#
#   Kubernetes  kube-apiserver, etcd and kubectl from KUBEBUILDER_ASSETS if it has all three, else built from source
#   MongoDB     the first of: MONGODB_URI, mongod on PATH, Docker with mongo:8, FerretDB over PostgreSQL (Debian, root)
#   feed store  FerretDB 1 over SQLite, built from source, for what needs capped collections and tailable cursors
#
# With kubernetes, mongodb or feed it gets only that. --print makes nothing and prints where things are, or would be, as
# NAME=PATH; package hack/servers reads it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

cache=${MONGOLOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mongolock}
[ "${cache#/}" != "$cache" ] || die "MONGOLOCK_CACHE has to be an absolute path"
docker_image=mongo:8

# The version that kube-apiserver and kubectl report, which is otherwise set by Kubernetes' own build.
kubernetes=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' envtest/go.mod)
minor=${kubernetes#v1.}
version=k8s.io/component-base/version
kubernetes_flags="-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*}"
kubernetes_flags+=" -X $version.gitTreeState=clean -X $version.gitCommit="

hash() { cat "$@" | sha256sum | cut -c 1-12; }
assets=$cache/kubernetes-$kubernetes-$(hash envtest/go.mod envtest/go.sum - <<<"$kubernetes_flags")
kubernetes_server=$cache/kubernetes-server-$(hash supervise/*.go envtest/*.go envtest/go.mod envtest/go.sum)
mongodb_server=$cache/mongodb-server-$(hash supervise/*.go mongodb/*.go mongodb/go.mod mongodb/go.sum)
feed_server=$cache/feed-server-$(hash supervise/*.go feed/*.go feed/go.mod feed/go.sum)
ferretdb=$cache/ferretdb-$(hash mongodb/go.mod mongodb/go.sum)
postgres=$cache/postgres-$(hash mongodb/postgres.sh)

has_assets() { [ -x "$1/kube-apiserver" ] && [ -x "$1/etcd" ] && [ -x "$1/kubectl" ]; }
if [ -n "${KUBEBUILDER_ASSETS:-}" ] && has_assets "$KUBEBUILDER_ASSETS"; then assets=$KUBEBUILDER_ASSETS; fi

if [ "${1:-}" = --print ]; then
  printf '%s=%s\n' cache "$cache" assets "$assets" kubernetes-server "$kubernetes_server" \
    mongodb-server "$mongodb_server" ferretdb "$ferretdb" postgres "$postgres" feed-server "$feed_server"
  exit
fi

docker_answers() { command -v docker >/dev/null && timeout 5 docker info >/dev/null 2>&1; }
image_is_there() { docker image inspect "$docker_image" >/dev/null 2>&1; }

# mongodb_kind prints which MongoDB serves here, or nothing.
mongodb_kind() {
  if [ -n "${MONGODB_URI:-}" ]; then
    echo uri
  elif command -v mongod >/dev/null; then
    echo mongod
  elif [ "$(id -u)" = 0 ] && [ -d "$postgres" ]; then
    echo postgres # made because there was no Docker; asking Docker again would only cost time
  elif docker_answers; then
    echo docker
  elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ -e /etc/debian_version ]; then
    echo postgres
  fi
}

kubernetes_is_there() { [ -d "$assets" ] && [ -x "$kubernetes_server" ]; }
mongodb_is_there() {
  case $kind in
  uri) ;;
  mongod) [ -x "$mongodb_server" ] ;;
  docker) [ -x "$mongodb_server" ] && image_is_there ;;
  postgres) [ -x "$mongodb_server" ] && [ -x "$ferretdb" ] && [ -d "$postgres" ] ;;
  *) return 1 ;;
  esac
}

# What is asked for and missing.
want_kubernetes='' want_mongodb='' want_feed='' kind=''
asked=${1:-all}
case $asked in
all | kubernetes | mongodb | feed) ;;
*) die "usage: testenv.sh [kubernetes | mongodb | feed | --print]" ;;
esac
case $asked in all | kubernetes) kubernetes_is_there || want_kubernetes=yes ;; esac
case $asked in all | feed) [ -x "$feed_server" ] || want_feed=yes ;; esac
case $asked in
all | mongodb)
  kind=$(mongodb_kind)
  mongodb_is_there || want_mongodb=yes
  ;;
esac
[ -n "$want_kubernetes$want_mongodb$want_feed" ] || exit 0

[ "$(uname -s)" = Linux ] || die 'the test servers run on Linux only; use a Linux machine or container'
[ -z "$want_mongodb" ] || [ -n "$kind" ] || die 'no MongoDB for the tests on this machine.
Do one of these and run "make testenv" again:
  - set MONGODB_URI to a MongoDB 4.4 or later, for example MONGODB_URI=mongodb://localhost:27017
  - put a mongod on PATH
  - start a Docker engine that this user may use
  - on Debian, run "make testenv" as root: it then makes a FerretDB over PostgreSQL'

mkdir -p "$cache"
exec 9>"$cache/lock"
flock --nonblock 9 || { say 'testenv: another run is at work, waiting for it' && flock 9; }

# Below the lock, what an interrupted run has left is nobody's. A mount in it would be the interrupted mmdebstrap's.
unfinished=$cache/unfinished
alive=''
clean_up() {
  [ -z "$alive" ] || kill "$alive" 2>/dev/null || true
  rm -rf --one-file-system "$unfinished"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
clean_up

# still_at_it says every 30 s that a step is alive, for as long as this script is.
still_at_it() {
  local seconds=0
  while sleep 1 && kill -0 $$ 2>/dev/null; do
    seconds=$((seconds + 1))
    if ((seconds % 30 == 0)); then say "  still at it after $seconds s"; fi
  done
}

# provide TARGET TEXT COMMAND...: unless TARGET exists, runs COMMAND with the path to make and moves the result to TARGET.
provide() {
  local target=$1 text=$2 log=$cache/last.log begin=$SECONDS
  shift 2
  [ ! -e "$target" ] || return 0
  say "testenv: $text"
  still_at_it 9>&- &
  alive=$!
  # It inherits the lock: if this script alone is killed, the next run waits until what it started has ended.
  if ! ("$@" "$unfinished") >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "that failed; all of its output is in $log"
  fi
  kill "$alive" 2>/dev/null || true
  alive=''
  mv -T "$unfinished" "$target"
  say "  done in $((SECONDS - begin)) s"
}

# build MODULE LDFLAGS PACKAGE PROGRAM. Without cgo a program runs on every Linux; nice leaves the machine usable.
build() (cd "$1" && CGO_ENABLED=0 nice -n 5 go build -trimpath -ldflags "$2" -o "$4" "$3")
build_kubernetes() {
  mkdir "$1" &&
    build envtest "$kubernetes_flags" k8s.io/kubernetes/cmd/kube-apiserver "$1/kube-apiserver" &&
    build envtest "$kubernetes_flags" k8s.io/kubernetes/cmd/kubectl "$1/kubectl" &&
    build envtest "-s -w" go.etcd.io/etcd/server/v3 "$1/etcd"
}
build_ferretdb() { build mongodb "-s -w" github.com/FerretDB/FerretDB/v2/cmd/ferretdb "$1"; }
build_server() { build "$1" "-s -w" . "$2"; }
make_postgres() { nice -n 5 mongodb/postgres.sh "$1"; }

if [ -n "$want_kubernetes" ]; then
  provide "$assets" "building kube-apiserver, etcd and kubectl $kubernetes: about 6 minutes on two cores" build_kubernetes
  provide "$kubernetes_server" "building the program that starts them: up to 1 minute" build_server envtest
fi
if [ -n "$want_mongodb" ]; then
  provide "$mongodb_server" "building the program that starts MongoDB: about 1 minute" build_server mongodb
  case $kind in
  docker)
    image_is_there || { say "testenv: pulling $docker_image: about 1 minute" && docker pull --quiet "$docker_image" >&2; }
    ;;
  postgres)
    provide "$ferretdb" "building FerretDB, for TLS and users: half a minute" build_ferretdb
    provide "$postgres" "making a PostgreSQL with the DocumentDB extension: about 90 s, 600 MB" make_postgres
    ;;
  esac
fi
if [ -n "$want_feed" ]; then
  provide "$feed_server" "building the feed store: about 1 minute on two cores" build_server feed
fi
