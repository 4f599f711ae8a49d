#!/usr/bin/env bash
# Copyright 2026 The mongolock Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Usage: mongodb.sh start | stop
#
# start starts a MongoDB for one's own use, which goes on until stop, and prints its URI; when it runs already, prints
# that of the running one. Its data is gone after stop.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

places=$(./testenv.sh --print)
place() { sed -n "s/^$1=//p" <<<"$places"; }
cache=$(place cache)
state=$cache/mongodb

# running prints the process id of the server if it runs. A number that was given to another program is not it.
running() {
  local pid
  pid=$(cat "$state/pid" 2>/dev/null) || return 1
  case $(readlink "/proc/$pid/exe" 2>/dev/null) in
  "$cache"/mongodb-server-*) echo "$pid" ;;
  *) return 1 ;;
  esac
}

stop_running() {
  local pid
  pid=$(running) || return 1
  kill "$pid"
  while running >/dev/null; do sleep 0.05; done
  rm -rf "$state"
}

announce() { printf '%s\nexport MONGODB_URI=%s\n' "$1" "$1"; }

start() {
  if [ -n "${MONGODB_URI:-}" ]; then
    say 'MONGODB_URI is set: that server is used, none is started'
    return
  fi
  if running >/dev/null && [ -s "$state/uri" ]; then
    announce "$(cat "$state/uri")"
    return
  fi
  ./testenv.sh mongodb 9>&-

  stop_running || true # an interrupted start may have left one
  rm -rf "$state"
  mkdir -m 0700 "$state"
  # The server ends with its standard input, and this one never ends: the server itself holds the other end.
  mkfifo "$state/stdin"
  setsid "$(place mongodb-server)" -postgres "$(place postgres)" \
    <>"$state/stdin" >"$state/uri" 2>"$state/errors" 9>&- &
  local pid=$!
  echo "$pid" >"$state/pid"
  while [ ! -s "$state/uri" ]; do
    if ! kill -0 "$pid" 2>/dev/null; then
      cat "$state/errors" >&2
      rm -rf "$state"
      die 'it did not start'
    fi
    sleep 0.05
  done
  announce "$(cat "$state/uri")"
}

stop() {
  if stop_running; then
    say 'MongoDB stopped'
  else
    say 'no MongoDB of "make mongodb" runs'
  fi
}

mkdir -p "$cache"
exec 9>"$cache/mongodb.lock"
flock 9
case ${1:-} in
start | stop) "$1" ;;
*) die 'usage: mongodb.sh start | stop' ;;
esac
