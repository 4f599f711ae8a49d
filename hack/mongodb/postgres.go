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
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/mongolock/operator/hack/supervise"
)

const (
	// templateDir is the data directory that postgres.sh made, inside its folder.
	templateDir = "var/lib/mongolock"
	postgresBin = "/usr/lib/postgresql/18/bin/postgres"

	// socketFolder is the folder of the run, which is the working directory: the path of a Unix socket is limited to
	// 107 bytes, which a cache folder may exceed.
	socketFolder = "/proc/self/cwd"
)

// A postgres is a PostgreSQL on the data of this run.
type postgres struct {
	session *supervise.Session
	root    string          // the folder that postgres.sh made, which it sees as "/"
	owner   *syscall.Stat_t // of the template, as whom it runs: it refuses to run as root
	clock   clock           // that it reads
	process *supervise.Process
}

// newPostgres copies the template in the folder root and starts PostgreSQL on the copy.
func newPostgres(ctx context.Context, s *supervise.Session, root string, movableClock bool) (*postgres, error) {
	template := filepath.Join(root, templateDir)
	info, err := os.Stat(template)
	if err != nil {
		return nil, err
	}
	p := &postgres{session: s, root: root, owner: info.Sys().(*syscall.Stat_t)}
	if err := os.Chown(s.Dir, int(p.owner.Uid), int(p.owner.Gid)); err != nil {
		return nil, err
	}
	data := filepath.Join(s.Dir, "data")
	if movableClock {
		if p.clock, err = newClock(root, s.Dir); err != nil {
			return nil, err
		}
	}
	copied, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", template, data).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("copy the template: %w: %s", err, copied)
	}
	return p, p.start(ctx)
}

// restart kills PostgreSQL, workers and all, and starts it again on the same data after a pause.
func (p *postgres) restart(ctx context.Context, pause string) error {
	if err := p.process.Kill(); err != nil {
		return err
	}
	if err := wait(ctx, pause); err != nil {
		return err
	}
	return p.start(ctx)
}

func (p *postgres) start(ctx context.Context) error {
	inside, err := filepath.Rel(p.root, p.session.Dir)
	if err != nil {
		return err
	}
	inside = "/" + inside
	command := func(namespaces uintptr) *exec.Cmd {
		cmd := exec.Command(postgresBin, "-D", inside+"/data", "-k", inside,
			// The extension connects back to create collections and indexes.
			"-c", "documentdb.localhost_connection_string=host="+inside)
		cmd.Dir, cmd.Env = "/", append(p.clock.environment(inside), "TZ=UTC")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot:     p.root,
			Credential: &syscall.Credential{Uid: p.owner.Uid, Gid: p.owner.Gid},
			Cloneflags: namespaces,
		}
		return cmd
	}
	// In namespaces of its own, the kernel ends its workers and frees its shared memory when it is killed. Where that
	// is not allowed, the workers end because they notice, and a few bytes of shared memory stay.
	p.process, err = p.session.Start(command(syscall.CLONE_NEWPID|syscall.CLONE_NEWIPC), syscall.SIGQUIT)
	if errors.Is(err, syscall.EPERM) {
		p.process, err = p.session.Start(command(0), syscall.SIGQUIT)
	}
	if err != nil {
		return err
	}
	return awaitSocket(ctx, p.session)
}

// awaitSocket waits until PostgreSQL accepts connections. It may still refuse to serve them for an instant.
func awaitSocket(ctx context.Context, s *supervise.Session) error {
	return retry(ctx, s, func(context.Context) error {
		conn, err := net.Dial("unix", socketFolder+"/.s.PGSQL.5432")
		if err != nil {
			return err
		}
		return conn.Close()
	})
}
