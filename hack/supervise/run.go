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
//   - A line on its standard input is a request: a name and, after a space, an argument. A program carries out those that
//     it has registered with [Session.OnRequest], such as "restart" to kill what serves and start it again. The answer is
//     a line on standard output: the address again when the request is carried out and the server serves, else that this
//     server cannot do that. Only then may the next request follow. If carrying it out fails, the program ends.
//
// Linux only.
package supervise

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const (
	// startTimeout bounds a start and each request; it is long because a machine may be busy with a build.
	startTimeout = 2 * time.Minute

	refusal = "this server cannot do that"
)

// Run is the body of main. It makes a folder below parent, such as os.TempDir(), whose name begins with prefix, calls
// start, prints the address that start returns as a line on standard output and serves. It returns the exit code: 0
// when the program was told to stop, 1 when a start failed or a process ended by itself; the end of the log and the
// reason are then on standard error.
//
// start must return soon after its context ends, with whatever it started registered in the session.
func Run(parent, prefix string, start func(context.Context, *Session) (string, error)) int {
	// Written to a pipe nobody reads any more, the address must not kill the program before its clean-up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	requests := make(chan string, 1)
	go func() {
		readRequests(os.Stdin, requests)
		cancel()
	}()

	session, err := newSession(parent, prefix)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", prefix, err)
		return 1
	}
	defer session.close()

	var address string
	err = bounded(ctx, func(ctx context.Context) error {
		address, err = start(ctx, session)
		return err
	})
	for answer := address; ; {
		switch {
		case ctx.Err() != nil: // told to stop: whatever went wrong in the start went wrong because of that
			return 0
		case err != nil:
			session.explain(prefix, err)
			return 1
		}

		fmt.Println(answer)
		select {
		case <-ctx.Done():
			return 0
		case err := <-session.ended:
			session.explain(prefix, err)
			return 1
		case request := <-requests:
			name, argument, _ := strings.Cut(request, " ")
			if handle := session.handlers[name]; handle == nil {
				answer = refusal
			} else {
				answer = address
				err = bounded(ctx, func(ctx context.Context) error { return handle(ctx, argument) })
			}
		}
	}
}

// bounded calls start with a context that ends after startTimeout.
func bounded(ctx context.Context, start func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return start(ctx)
}

// readRequests passes on the requests, and returns when the input ends. It never waits: it would miss the end.
func readRequests(input io.Reader, requests chan<- string) {
	for lines := bufio.NewScanner(input); lines.Scan(); {
		if lines.Text() == "" {
			continue // somebody at a terminal
		}
		select {
		case requests <- lines.Text():
		default: // two at once, of which one is answered
		}
	}
	_, _ = io.Copy(io.Discard, input) // after a line too long to be scanned
}
