/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Command mongodb starts a MongoDB on a free loopback port, prints its URI and serves it until its standard input
// ends. The first of these is taken that the machine has: mongod on PATH, Docker, FerretDB over PostgreSQL.
// Package supervise says how it lives and dies, and how it is asked for faults: mongod can be restarted, and FerretDB can
// be restarted, lose its connections to PostgreSQL and have its clock moved.
//
// A secure one speaks TLS only, with a certificate of an authority made for it, and with users only. Its URI names the
// authority's file and has an administrator's password. Docker cannot be one.
package main

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/mongolock/operator/hack/supervise"
)

const folderPrefix = "mongolock-mongodb"

// dockerTimeout is how long a Docker engine may take to say that it is there.
const dockerTimeout = 3 * time.Second

// start starts a MongoDB and returns its URI.
type start func(context.Context, *supervise.Session) (string, error)

// choice is what the flags say.
type choice struct {
	postgres, ferretdb   string
	movableClock, secure bool
}

func main() {
	var c choice
	flag.StringVar(&c.postgres, "postgres", "", "folder that postgres.sh made, for FerretDB over PostgreSQL")
	flag.StringVar(&c.ferretdb, "ferretdb", "", "FerretDB as a program, for a secure FerretDB over PostgreSQL")
	flag.BoolVar(&c.movableClock, "movable-clock", false, "let the clock of FerretDB be moved, which makes it slower")
	flag.BoolVar(&c.secure, "secure", false, "speak TLS only, and with users only")
	flag.Parse()

	parent, start := c.choose()
	os.Exit(supervise.Run(parent, folderPrefix, start))
}

// choose returns the start function of the first MongoDB the machine has and the parent of its folder.
func (c choice) choose() (string, start) {
	if _, err := exec.LookPath("mongod"); err == nil {
		if c.secure {
			return os.TempDir(), startSecureMongod
		}
		return os.TempDir(), startMongod
	}
	if !c.secure && dockerAnswers() {
		return os.TempDir(), startDocker
	}
	if _, err := os.Stat(filepath.Join(c.postgres, templateDir)); c.postgres != "" && err == nil {
		// PostgreSQL sees nothing but that folder.
		return filepath.Join(c.postgres, "tmp"), func(ctx context.Context, s *supervise.Session) (string, error) {
			if c.secure {
				return startSecureFerretDB(ctx, s, c.postgres, c.ferretdb)
			}
			return startFerretDB(ctx, s, c.postgres, c.movableClock)
		}
	}
	return os.TempDir(), func(context.Context, *supervise.Session) (string, error) {
		if c.secure {
			return "", errors.New("no mongod on PATH and no FerretDB on this machine, which can speak TLS with users; Docker cannot here: " +
				`put a mongod on PATH, or, on Debian without Docker, run "make testenv" as root`)
		}
		return "", errors.New(`no mongod on PATH, no Docker engine and no FerretDB on this machine; run "make testenv"`)
	}
}

func dockerAnswers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), dockerTimeout)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "info").Run() == nil
}

// freePort returns a loopback port that was free a moment ago. The kernel hands out ports at random, so that two
// programs get the same one is unlikely; the second then fails with the reason in its log.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return strconv.Itoa(port), listener.Close()
}
