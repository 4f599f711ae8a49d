/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/mongolock/operator/pkg/mongolock"
)

// term is one term of leadership. It begins with the grant of a lease and ends when the elector gives leadership up or says that it
// has stopped leading. In between the lease may be lost: then the term is lost, and stays so until its end.
//
//	waiting --start--> running --giveUp--> over
//	                      |                  ^
//	                 lease ends --> lost ----+
type term struct {
	mu    sync.Mutex
	lease *mongolock.Lease // nil while waiting
	led   bool             // the elector was told that it leads, so work may have begun
	over  bool
	loss  error         // why the term was lost, once it is over
	ended chan struct{} // closed when the lease ends or the term is over, whichever comes first
	close sync.Once     // of ended
}

func newTerm() *term { return &term{ended: make(chan struct{})} }

// start begins the term. Only one call may do it.
func (t *term) start(ctx context.Context, lease *mongolock.Lease) {
	t.mu.Lock()
	t.lease = lease
	t.mu.Unlock()
	// No goroutine waits for the end of the lease: the lease's own timer, or who ends it, runs this.
	context.AfterFunc(lease.Context(context.WithoutCancel(ctx)), t.end)
}

func (t *term) end() { t.close.Do(func() { close(t.ended) }) }

// snapshot returns the fields. The lease is never asked under the mutex: it may call the user's logger.
func (t *term) snapshot() (lease *mongolock.Lease, led, over bool, loss error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lease, t.led, t.over, t.loss
}

// hold returns the lease while the term is running, nothing while it is waiting, and afterwards an error.
func (t *term) hold() (*mongolock.Lease, error) {
	lease, _, over, _ := t.snapshot()
	switch {
	case lease == nil:
		return nil, nil
	case over:
		return nil, errors.New("leadership was given up")
	}
	if err := lease.Err(); err != nil {
		return nil, fmt.Errorf("leadership was lost: %w", err)
	}
	return lease, nil
}

// live returns the lease if the term is running.
func (t *term) live() *mongolock.Lease {
	lease, err := t.hold()
	if err != nil {
		return nil
	}
	return lease
}

// elected notes that the elector knows of its election.
func (t *term) elected() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.led = t.lease != nil
}

// giveUp ends the term and returns the lease if it is still held. A term that has not begun does not end.
func (t *term) giveUp() *mongolock.Lease {
	lease, _, over, _ := t.snapshot()
	if lease == nil || over {
		return nil
	}
	loss := lease.Err()
	t.mu.Lock()
	t.over, t.loss = true, loss
	t.mu.Unlock()
	t.end()
	if loss != nil {
		return nil
	}
	return lease
}

// replaceable tells whether the next call begins a new term. A lease that was lost before the elector heard of its election (a
// MultiLock may have failed on its other half) is nobody's term: no work has begun, and no "stopped leading" will follow.
func (t *term) replaceable() bool {
	lease, led, over, _ := t.snapshot()
	return over || lease != nil && !led && lease.Err() != nil
}

// lost returns why the term was lost, or nil; also once it is over.
func (t *term) lost() error {
	lease, _, over, loss := t.snapshot()
	switch {
	case lease == nil:
		return nil
	case over:
		return loss
	default:
		return lease.Err()
	}
}

func (l *Lock) current() *term {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term
}

// begin returns the term that a call of the elector belongs to, a new one if the last is over, as the call then comes from a new
// run; and the lease, if we lead. It returns an error while a lost term lasts.
func (l *Lock) begin() (*term, *mongolock.Lease, error) {
	t := l.current()
	if t.replaceable() {
		t = l.replace(t)
	}
	lease, err := t.hold()
	if err != nil {
		return nil, nil, fmt.Errorf("resourcelock: %s: %w; the elector has to stop before it can lead again", l.id, err)
	}
	return t, lease, nil
}

func (l *Lock) replace(old *term) *term {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.term == old {
		l.term = newTerm()
	}
	return l.term
}

// Lost returns a channel that is closed when the term of leadership ends, because it was lost or because it was given up: work
// that needs leadership must have stopped by then. It is closed in time even if the network is dead and the elector stuck. The
// term is the one running or, before leadership, the coming one. A new run of an elector on the same lock has a new term: ask again.
func (l *Lock) Lost() <-chan struct{} { return l.current().ended }

// Token returns the fencing token of the term, and whether we lead now. Hand it to the resource with each request, and let the
// resource refuse a request whose token is smaller than the largest it has seen.
func (l *Lock) Token() (int64, bool) {
	lease := l.current().live()
	if lease == nil {
		return 0, false
	}
	return lease.Token(), true
}

// Healthz is a health check in the form of controller-runtime's healthz.Checker. It fails from the moment that leadership is lost
// until a new run of an elector begins on this lock; in most programs none will, and the process must be restarted. It does not ask
// the server, and never fails for a candidate.
func (l *Lock) Healthz(*http.Request) error {
	t := l.current()
	if _, led, _, _ := t.snapshot(); !led {
		return nil
	}
	if err := t.lost(); err != nil {
		return fmt.Errorf("resourcelock: %s: leadership was lost and the process has not stopped: %w", l.id, err)
	}
	return nil
}
