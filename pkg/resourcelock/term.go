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
	"time"

	"github.com/mongolock/operator/pkg/mongolock"
)

// term is one term of leadership. It begins with the grant of a lease and ends when the elector gives leadership up or says that it
// has stopped leading; if the gate was closed then, when the lease ends. In between the lease may be lost: then the term is lost, and stays
// so until its end.
//
//	waiting --start--> running --giveUp---------------> over
//	                     | |                            ^ ^
//	                     | +--drain--> draining --------+ |
//	                     |                   lease ends   |
//	                     +--lease ends--> lost --giveUp---+
//	                        or fail
//
// The words: ended is the channel of [Lock.Lost], closed as soon as work must stop, so by a loss as well as at the end. over is the end
// itself: the elector is done with the term. gone asks for a loss now, by what is known of the lease; lost answers also once the term is
// over, with loss, what gone was then. hold returns the lease or why there is none any more, live the lease or nil.
type term struct {
	mu sync.Mutex
	termState
	ended chan struct{} // closed when the lease ends or the term is over, whichever comes first
	close sync.Once     // of ended
	timer *time.Timer   // ends the term at until; nil unless that is set
}

type termState struct {
	lease    *mongolock.Lease // nil while waiting
	led      bool             // the elector was told that it leads, so work may have begun
	draining bool             // the elector has stopped, and the work has not
	over     bool
	failure  error // why the term was lost although the lease lasts
	// until bounds the term, if it is set, besides the lease.
	until time.Time
	loss  error // why the term was lost, once it is over
}

// gone is why the term was lost, or nil. There must be a lease.
func (s termState) gone() error {
	switch {
	case s.failure != nil:
		return s.failure
	case !s.until.IsZero() && past(s.until):
		return fmt.Errorf("%w: %w", mongolock.ErrLeaseLost, errOtherLate)
	}
	return s.lease.Err()
}

// past looks at both clocks: the monotonic one stands still while the machine is suspended, and the other one may be set.
func past(at time.Time) bool {
	now := time.Now()
	return now.After(at) || now.Round(0).After(at.Round(0))
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

// now returns the state. The lease is never asked under the mutex: it may call the user's logger.
func (t *term) now() termState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.termState
}

// hold returns the lease while the term is running or draining, nothing while it is waiting, and afterwards an error.
func (t *term) hold() (*mongolock.Lease, error) {
	s := t.now()
	switch {
	case s.lease == nil:
		return nil, nil
	case s.over:
		return nil, errors.New("leadership was given up")
	}
	if err := s.gone(); err != nil {
		return nil, fmt.Errorf("leadership was lost: %w", err)
	}
	return s.lease, nil
}

// live returns the lease if there is one that lasts.
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

// fail loses the term although its lease lasts. That is left to expire: the work may still run.
func (t *term) fail(why error) {
	t.mu.Lock()
	if t.lease != nil && !t.over && t.failure == nil {
		t.failure = fmt.Errorf("%w: %w", mongolock.ErrLeaseLost, why)
	}
	failed := t.failure != nil
	t.mu.Unlock()
	if failed {
		t.end()
	}
}

// endBy sets when the term ends at the latest.
func (t *term) endBy(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
	}
	t.until = until
	t.timer = time.AfterFunc(time.Until(until), func() { t.fail(errOtherLate) })
}

// whenEnded calls f when the term has ended, unless it was stopped before.
func (t *term) whenEnded(f func()) (stop func()) {
	stopped := make(chan struct{})
	go func() { // ends with the term, or when it is stopped
		select {
		case <-t.ended:
			f()
		case <-stopped:
		}
	}()
	return sync.OnceFunc(func() { close(stopped) })
}

// drain notes that the elector has stopped before the work has: the term ends with its lease.
func (t *term) drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = t.failure == nil
}

// giveUp ends the term and returns the lease if it is still held. A term that has not begun does not end, nor does one that drains.
func (t *term) giveUp() *mongolock.Lease {
	s := t.now()
	if s.lease == nil || s.over || s.draining {
		return nil
	}
	loss := s.gone()
	t.mu.Lock()
	t.over, t.loss = true, loss
	t.mu.Unlock()
	t.end()
	if loss != nil {
		return nil
	}
	return s.lease
}

// replaceable tells whether the next call begins a new term. A lease that was lost before the elector heard of its election (the other
// half of two locks may have failed) is nobody's term: no work has begun, and no "stopped leading" will follow. A term that drains ends
// with its lease.
func (t *term) replaceable() bool {
	s := t.now()
	return s.over || s.lease != nil && (s.draining || !s.led) && s.gone() != nil
}

// lost returns why the term was lost, or nil; also once it is over.
func (t *term) lost() error {
	s := t.now()
	switch {
	case s.lease == nil || s.draining:
		return nil
	case s.over:
		return s.loss
	default:
		return s.gone()
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
	if t.now().draining {
		return nil, nil, fmt.Errorf("resourcelock: %s: the release gate was closed: wait for the last term's lease to end", l.id)
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
	if !t.now().led {
		return nil
	}
	if err := t.lost(); err != nil {
		return fmt.Errorf("resourcelock: %s: leadership was lost and the process has not stopped: %w", l.id, err)
	}
	return nil
}
