/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"
)

// flaw is what an otherwise good memoryLock does wrong.
type flaw int

const (
	none flaw = iota
	// reacquires takes the record back after it was lost, and tells nobody.
	reacquires
	// clobbers empties the record for a release, whoever holds it.
	clobbers
	// hangs waits for a change in Get, once it has seen somebody else lead, whatever becomes of its context.
	hangs
	// patient waits for answers without end, and knows no time at which its term must be over.
	patient
	// vain takes a record with its own name in it for its own.
	vain
	// leaky leaves a goroutine behind with each term.
	leaky
	// recounts begins anew with its tokens after a deletion.
	recounts
)

var attempts atomic.Int64

// memoryLock is a candidate's lock on a memory.
type memoryLock struct {
	*memory
	line     line
	identity string
	lease    time.Duration
	flaw     flaw

	state     sync.Mutex
	seen      bool        // there was a record
	following bool        // somebody else led at the last look
	attempt   int64       // to acquire; 0: none is under way
	token     int64       // 0: no term
	lost      bool        // the term, and the elector has not stopped yet
	timer     *time.Timer // loses the term at the end of its lease
	ended     chan struct{}
}

var errLost = errors.New("leadership was lost")

// Identity implements [rl.Interface].
func (l *memoryLock) Identity() string { return l.identity }

// Describe implements [rl.Interface].
func (l *memoryLock) Describe() string { return "memory" }

// RecordEvent implements [rl.Interface].
func (l *memoryLock) RecordEvent(what string) {
	if what == "stopped leading" {
		l.end()
	}
}

// Lost is closed at the end of the term.
func (l *memoryLock) Lost() <-chan struct{} {
	l.state.Lock()
	defer l.state.Unlock()
	return l.ended
}

// Token is the term's.
func (l *memoryLock) Token() (int64, bool) {
	l.state.Lock()
	defer l.state.Unlock()
	return l.token, l.token != 0 && !l.lost
}

// end ends the term, and returns its token if it is still held.
func (l *memoryLock) end() int64 {
	l.state.Lock()
	defer l.state.Unlock()
	token, lost := l.token, l.lost
	if token == 0 {
		return 0
	}
	l.timer.Stop()
	if !lost {
		close(l.ended)
	}
	l.token, l.lost, l.ended = 0, false, make(chan struct{})
	if lost {
		return 0
	}
	return token
}

// lose notes that the term was lost.
func (l *memoryLock) lose(token int64) {
	l.state.Lock()
	defer l.state.Unlock()
	if l.token == token && !l.lost {
		l.lost = true
		l.timer.Stop()
		close(l.ended)
	}
}

// refused is the answer of who hears that it does not hold the record any more.
func (l *memoryLock) refused(token int64) error {
	if l.flaw == reacquires {
		l.state.Lock()
		l.token = 0
		l.state.Unlock()
	} else {
		l.lose(token)
	}
	return apierrors.NewConflict(resource, l.identity, errLost)
}

// leads keeps a token from a request that was sent at a time until the end of its lease.
func (l *memoryLock) leads(token int64, sent time.Time) {
	l.state.Lock()
	defer l.state.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.token, l.attempt = token, 0
	l.timer = time.AfterFunc(time.Until(sent.Add(l.lease*9/10)), func() {
		if l.flaw != patient {
			l.lose(token)
		}
	})
}

func (l *memoryLock) now() (token int64, err error) {
	l.state.Lock()
	defer l.state.Unlock()
	if l.lost {
		return 0, errLost
	}
	return l.token, nil
}

func (l *memoryLock) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.flaw == patient {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, l.lease/4)
}

// Get implements [rl.Interface].
func (l *memoryLock) Get(ctx context.Context) (*rl.LeaderElectionRecord, []byte, error) {
	token, err := l.now()
	if err != nil {
		return nil, nil, err
	}
	if l.flaw == hangs && l.following {
		<-l.over
	}
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var record *rl.LeaderElectionRecord
	var holder int64
	var raw []byte
	err = l.line.carry(ctx, false, func() error {
		l.change(func() {
			if !l.exists {
				return
			}
			record = &rl.LeaderElectionRecord{LeaseDurationSeconds: 1, LeaderTransitions: l.acquisitions - 1}
			if l.held() {
				holder = l.holder.token
				record.HolderIdentity, record.LeaseDurationSeconds = l.holder.owner, int(l.holder.lease/time.Second)
			}
			raw = fmt.Appendf(nil, "%s|%d|%d", record.HolderIdentity, l.last, l.renewals)
		})
		return nil
	})
	switch {
	case err != nil:
		return nil, nil, err
	case token != 0 && holder != token:
		return nil, nil, l.refused(token)
	case record == nil:
		return nil, nil, apierrors.NewNotFound(resource, l.identity)
	}
	l.seen, l.following = true, holder != token
	return record, raw, nil
}

// Create implements [rl.Interface].
func (l *memoryLock) Create(ctx context.Context, record rl.LeaderElectionRecord) error {
	exists := false
	ctx, cancel := l.bound(ctx)
	defer cancel()
	err := l.line.carry(ctx, false, func() error {
		l.change(func() { exists = l.exists })
		return nil
	})
	if err != nil {
		return err
	}
	if exists {
		return apierrors.NewAlreadyExists(resource, l.identity)
	}
	l.seen = true
	return l.Update(ctx, record)
}

// Update implements [rl.Interface].
func (l *memoryLock) Update(ctx context.Context, record rl.LeaderElectionRecord) error {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	if record.HolderIdentity == "" {
		return l.release(ctx)
	}
	token, err := l.now()
	if err != nil {
		return err
	}
	sent := time.Now()
	if token == 0 {
		return l.takeOver(ctx, sent)
	}
	renewed := false
	err = l.line.carry(ctx, true, func() error {
		l.change(func() {
			if renewed = l.held() && l.holder.token == token; renewed {
				l.holder.expires = time.Now().Add(l.lease)
				l.renewals++
			}
		})
		return nil
	})
	switch {
	case err != nil:
		return err
	case !renewed:
		return l.refused(token)
	}
	l.leads(token, sent)
	return nil
}

func (l *memoryLock) takeOver(ctx context.Context, sent time.Time) error {
	if !l.seen {
		return errors.New("call Get first")
	}
	switch {
	case l.flaw == vain:
		l.attempt = int64(crc32.ChecksumIEEE([]byte(l.identity)))
	case l.attempt == 0:
		l.attempt = attempts.Add(1)
	}
	var token int64
	err := l.line.carry(ctx, true, func() (err error) {
		token, err = l.acquire(l.identity, l.attempt, l.lease)
		return err
	})
	if err != nil {
		return err
	}
	l.leads(token, sent)
	if l.flaw == leaky {
		go func() { <-l.over }()
	}
	return nil
}

func (l *memoryLock) release(ctx context.Context) error {
	token := l.end()
	if token == 0 && l.flaw != clobbers {
		return nil
	}
	return l.line.carry(ctx, true, func() error {
		l.change(func() {
			if l.holder.token == token || l.flaw == clobbers {
				l.holder = grant{}
			}
		})
		return nil
	})
}
