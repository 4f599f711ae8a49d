/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/pkg/mongolock"
)

// sight is what the last Get saw of the lock.
type sight struct {
	mu     sync.Mutex
	state  mongolock.State
	record rl.LeaderElectionRecord // of the last live holder; only kept without fast Get
	raw    []byte
}

func (s *sight) set(state mongolock.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// following returns what the last Get saw, if somebody was in the lead.
func (s *sight) following() (mongolock.State, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.state.Held()
}

// unexpired is the view of a lock for an elector that is to count leases itself: a lease that ended by the server's clock goes on in it
// until the elector says that it has ended. Its raw form stays as it was, as a change would mean that the holder lives.
func (s *sight) unexpired(config Config, state mongolock.State, record *rl.LeaderElectionRecord, raw []byte) (*rl.LeaderElectionRecord, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state.Held() {
		s.record, s.raw = *record, raw
		return record, bytes.Clone(raw)
	}
	owner, expired := expiredHolder(state)
	if !expired {
		return record, raw
	}
	if grant := rawGrant(owner, state.Token); !bytes.HasPrefix(s.raw, grant) { // nobody saw it alive
		s.record = *record
		s.record.HolderIdentity, s.raw = owner, grant
		s.record.LeaseDurationSeconds = int(config.LeaseDuration / time.Second)
		s.record.RenewTime = metav1.NewTime(state.ChangedAt)
	}
	last := s.record
	return &last, bytes.Clone(s.raw)
}

// rawGrant begins the raw form of a record.
func rawGrant(owner string, token int64) []byte { return fmt.Appendf(nil, "%s|%d|", owner, token) }

// expiredHolder is who held the lock last, if that ended by time alone.
func expiredHolder(state mongolock.State) (owner string, expired bool) {
	for _, e := range slices.Backward(state.Events) {
		if e.Token != state.Token {
			continue
		}
		return e.Owner, e.Type == mongolock.EventAcquired || e.Type == mongolock.EventExpired
	}
	return "", false
}
