#!/usr/bin/env bash
# Copyright 2026 The mongolock Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Usage: postgres.sh DIR
#
# Makes DIR: a small Debian with PostgreSQL 18 and the DocumentDB extension, the store below FerretDB, and in
# DIR/var/lib/mongolock an initialised data directory that each server copies. Needs Debian and root.
# The data directory is for tests: it is not flushed to disk and asks for no password, so a server on it listens on
# a Unix socket in a private folder only.
set -euo pipefail

root=$1
bin=/usr/lib/postgresql/18/bin
data=/var/lib/mongolock

as_postgres() { chroot --userspec=postgres:postgres "$root" /usr/bin/env -i PATH="$bin:/usr/bin" "$@"; }

umask 022
apt-get update -q
command -v mmdebstrap >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends mmdebstrap

# The mirror of this machine's own configuration: the first of Debian's main archives.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
if [ -z "$mirror" ]; then
  echo "no Debian archive in this machine's apt configuration; run \"apt-get update\" and look at /etc/apt/sources.list.d" >&2
  exit 1
fi

mmdebstrap --quiet --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --include=postgresql-18-documentdb,libfaketime forky "$root" "$mirror"

# Debian's own database, and what is of no use to a server. A server's folder is made below /tmp.
rm -rf "$root"/var/lib/postgresql/18 "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
install -d -m 1777 "$root/tmp"
chroot "$root" install -d -o postgres -g postgres -m 0700 "$data"
as_postgres initdb -D "$data" --auth=trust --encoding=UTF8 --locale=C.UTF-8 --wal-segsize=4 --no-sync >/dev/null

# No flush: the data need not outlive the machine. But what was acknowledged has been handed to the kernel, so that it
# outlives a kill -9 of PostgreSQL. Connections: FerretDB uses up to 100, the rest is for the extension's workers and
# for psql.
cat >>"$root$data/postgresql.conf" <<'EOF'
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 150
shared_buffers = 128MB
dynamic_shared_memory_type = mmap
shared_preload_libraries = 'pg_cron,pg_documentdb_core,pg_documentdb'
cron.database_name = 'postgres'
cron.use_background_workers = on
cron.log_run = off
cron.log_statement = off
jit = off
fsync = off
synchronous_commit = on
autovacuum_naptime = 10s
min_wal_size = 8MB
max_wal_size = 256MB
EOF

as_postgres pg_ctl -D "$data" -o "-k /tmp" -l /tmp/setup.log -w -s start
stop() { as_postgres pg_ctl -D "$data" -m fast -w -s stop; }
trap stop EXIT
as_postgres psql -qX -h /tmp -v ON_ERROR_STOP=1 -c 'SET client_min_messages = warning' \
  -c 'CREATE EXTENSION documentdb CASCADE' postgres
stop
trap - EXIT
rm -f "$root/tmp/setup.log"
