/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// logTail is how many bytes of the log are shown when a start fails.
const logTail = 4 << 10

// A Session is one run of a server program: its folder, its log and what it has to stop.
type Session struct {
	// Dir is the folder of this run and the working directory. Everything in it is removed at the end.
	Dir string
	// Log takes the output of the processes. It is a file in Dir.
	Log *os.File

	lock     *os.File
	stops    []func()
	handlers map[string]Handler
	ended    chan error
}

// A Handler carries out a request. When it returns, the server serves, or the run ends with the error. It must return
// soon after its context ends.
type Handler func(ctx context.Context, argument string) error

func newSession(parent, prefix string) (*Session, error) {
	removeStale(parent, prefix)
	dir, lock, err := makeLocked(parent, prefix)
	if err != nil {
		return nil, err
	}
	if err := os.Chdir(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir), lock.Close())
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir), lock.Close())
	}
	return &Session{
		Dir: dir, Log: log, lock: lock,
		handlers: map[string]Handler{}, ended: make(chan error, 1),
	}, nil
}

// OnStop registers what the end of the run has to do; the last registered is called first.
func (s *Session) OnStop(stop func()) { s.stops = append(s.stops, stop) }

// OnRequest registers what carries out the requests of a name. Requests without a handler are refused, and change
// nothing.
func (s *Session) OnRequest(name string, handle Handler) { s.handlers[name] = handle }

// Fail ends the run: a part of it stopped serving for the given reason. It does not block.
func (s *Session) Fail(reason error) {
	select {
	case s.ended <- reason:
	default:
	}
}

// Ended yields the reason when a process of the run has ended, for a start that waits for it to serve.
func (s *Session) Ended() <-chan error { return s.ended }

// close stops everything, in reverse order, and removes the folder.
func (s *Session) close() {
	for i := len(s.stops) - 1; i >= 0; i-- {
		s.stops[i]()
	}
	_ = s.Log.Close()
	if err := removeAll(s.Dir); err != nil {
		fmt.Fprintf(os.Stderr, "cannot remove %s: %v\n", s.Dir, err)
	}
	_ = s.lock.Close()
}

// explain prints why the run ends, after the end of the log.
func (s *Session) explain(prefix string, reason error) {
	if log, err := os.ReadFile(s.Log.Name()); err == nil && len(log) > 0 {
		if len(log) > logTail {
			log = log[len(log)-logTail:]
			log = append([]byte("...\n"), log[bytes.IndexByte(log, '\n')+1:]...)
		}
		_, _ = io.Copy(os.Stderr, bytes.NewReader(log))
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", prefix, reason)
}

func orExitZero(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
