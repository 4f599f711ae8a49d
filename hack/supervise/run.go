/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package supervise is the life of a server program: it starts other processes, prints the address of what they serve,
// and leaves nothing behind.
//
//   - The program serves until its standard input ends or it gets SIGINT, SIGTERM or SIGHUP. A parent that keeps the
//     other end of a pipe open thus stops it by dying, however it dies.
//   - It exits only after its processes have ended and its folder is gone, also when the start fails half way.
//   - If it is itself killed with -9 its processes are killed with it, and its folder is removed by the next program
//     that is started with the same folder prefix.
//
// Linux only.
package supervise

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// startTimeout bounds a start; it is long because a machine may be busy with a build.
const startTimeout = 2 * time.Minute

// Run is the body of main. It makes a folder below parent, such as os.TempDir(), whose name begins with prefix, calls
// start, prints the address that start returns as the only line on standard output and serves. It returns the exit
// code: 0 when the program was told to stop, 1 when the start failed or a process ended by itself; the end of the log
// and the reason are then on standard error.
//
// start must return soon after its context ends, with whatever it started registered in the session.
func Run(parent, prefix string, start func(context.Context, *Session) (string, error)) int {
	// Written to a pipe nobody reads any more, the address must not kill the program before its clean-up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	session, err := newSession(parent, prefix)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", prefix, err)
		return 1
	}
	defer session.close()

	startCtx, done := context.WithTimeout(ctx, startTimeout)
	address, err := start(startCtx, session)
	done()
	switch {
	case ctx.Err() != nil: // told to stop: whatever went wrong in the start went wrong because of that
		return 0
	case err != nil:
		session.explain(prefix, err)
		return 1
	}

	fmt.Println(address)
	select {
	case <-ctx.Done():
		return 0
	case err := <-session.ended:
		session.explain(prefix, err)
		return 1
	}
}
