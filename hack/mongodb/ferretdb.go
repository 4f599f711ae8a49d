/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/v2/ferretdb"

	"github.com/mongolock/operator/hack/supervise"
)

const (
	// templateDir is the data directory that postgres.sh made, inside its folder.
	templateDir = "var/lib/mongolock"
	postgresBin = "/usr/lib/postgresql/18/bin/postgres"

	// socketFolder is the folder of the run, which is the working directory: the path of a Unix socket is limited to
	// 107 bytes, which a cache folder may exceed.
	socketFolder = "/proc/self/cwd"
	// FerretDB queues what exceeds its connections. PostgreSQL allows 150.
	postgresURL = "postgres://postgres@/postgres?host=" + socketFolder + "&pool_max_conns=100&pool_min_conns=4"
)

// startFerretDB starts PostgreSQL on a copy of the template inside root, and FerretDB in this process.
func startFerretDB(ctx context.Context, s *supervise.Session, root string) (string, error) {
	if err := startPostgres(ctx, s, root); err != nil {
		return "", fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := awaitSocket(ctx, s); err != nil {
		return "", fmt.Errorf("start PostgreSQL: %w", err)
	}

	telemetry := false
	server, err := ferretdb.New(&ferretdb.Config{
		PostgreSQLURL: postgresURL,
		ListenAddr:    "127.0.0.1:0",
		StateDir:      s.Dir,
		LogLevel:      slog.LevelError,
		LogOutput:     s.Log,
		Telemetry:     &telemetry,
	})
	if err != nil {
		return "", fmt.Errorf("start FerretDB: %w", err)
	}
	// It serves until the program exits: it would first wait for its clients, and there is nothing to save.
	go func() {
		server.Run(context.WithoutCancel(ctx))
		s.Fail(errors.New("FerretDB ended by itself"))
	}()
	uri := server.MongoDBURI()
	return uri, ping(ctx, s, uri)
}

// startPostgres starts PostgreSQL in the folder root, which it sees as "/", as the user that owns the template: it
// refuses to run as root.
func startPostgres(ctx context.Context, s *supervise.Session, root string) error {
	template := filepath.Join(root, templateDir)
	info, err := os.Stat(template)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(s.Dir, int(owner.Uid), int(owner.Gid)); err != nil {
		return err
	}
	data := filepath.Join(s.Dir, "data")
	copied, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", template, data).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy the template: %w: %s", err, copied)
	}

	inside, err := filepath.Rel(root, s.Dir)
	if err != nil {
		return err
	}
	inside = "/" + inside
	command := func(namespaces uintptr) *exec.Cmd {
		cmd := exec.Command(postgresBin, "-D", inside+"/data", "-k", inside,
			// The extension connects back to create collections and indexes.
			"-c", "documentdb.localhost_connection_string=host="+inside)
		cmd.Dir, cmd.Env = "/", []string{"TZ=UTC"}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot:     root,
			Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid},
			Cloneflags: namespaces,
		}
		return cmd
	}
	// In namespaces of its own, the kernel ends its workers and frees its shared memory when it is killed. Where that
	// is not allowed, the workers end because they notice, and a few bytes of shared memory stay.
	err = s.Start(command(syscall.CLONE_NEWPID|syscall.CLONE_NEWIPC), syscall.SIGQUIT)
	if errors.Is(err, syscall.EPERM) {
		err = s.Start(command(0), syscall.SIGQUIT)
	}
	return err
}

// awaitSocket waits until PostgreSQL accepts connections. It may still refuse to serve them for an instant.
func awaitSocket(ctx context.Context, s *supervise.Session) error {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		conn, err := net.Dial("unix", socketFolder+"/.s.PGSQL.5432")
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		case reason := <-s.Ended():
			return reason
		case <-tick.C:
		}
	}
}
