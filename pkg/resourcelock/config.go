/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/pkg/mongolock"
)

// Limits of a [Config].
const (
	// MinLeaseDuration is the shortest lease.
	MinLeaseDuration = 2 * time.Second
	// MaxLeaseDuration is the longest lease.
	MaxLeaseDuration = 24 * time.Hour

	maxIdentity = 256 // bytes; the engine's limit for an owner
	maxID       = 512 // bytes; the engine's limit for a lock's id
)

// Config says which lock a [Lock] is and how it is held.
type Config struct {
	// Namespace and Name make the lock's id, "<namespace>/<name>", which is also the default id of a DistributedLock of that name.
	// Both are required, without a slash, together at most 511 bytes.
	Namespace, Name string
	// Identity is who we are to the other candidates: 1 to 256 bytes of UTF-8. It must differ from process to process, restarts
	// included: an elector that reads its own identity believes that it leads, and logs failures instead of waiting quietly.
	Identity string
	// LeaseDuration is how long leadership outlives a dead leader: whole seconds from [MinLeaseDuration] to [MaxLeaseDuration]. It
	// must be the elector's LeaseDuration.
	LeaseDuration time.Duration
	// RequestTimeout bounds each call; default a third of the lease, at least a second. It must be shorter than the lease.
	RequestTimeout time.Duration
	// ReleaseGate, if set, is asked when the elector gives leadership up, and tells whether it may be: false while work still needs it.
	// It may wait for the work to end, until ctx does: at the end of the lease, or when the elector loses patience. Leadership that is not
	// given up lasts until its lease ends, which nobody renews any more; nobody else leads before. The client's Close would give it back:
	// connect with [mongolock.WithoutRelease] if work can outlast that.
	ReleaseGate func(ctx context.Context) bool
	// DisableFastGet makes Get name the holder of a lease that has ended as if it had not, as a Lease object does. An elector then counts
	// a lease duration from the last renewal that it saw itself, or from its first look. That is slower, and no safer: it is the
	// server that grants the lock.
	DisableFastGet bool
	// DisableLongPoll makes Get return at once while somebody else leads. See [Lock.Get].
	DisableLongPoll bool
	// EventRecorder, if set, gets an event about the DistributedLock of the lock's name, whether there is one or not, when a term begins
	// and ends. [Lock.Run] uses the manager's if it is nil.
	EventRecorder rl.EventRecorder
}

func (c Config) validate() error {
	id := c.Namespace + "/" + c.Name
	switch {
	case c.Namespace == "" || c.Name == "":
		return invalid("namespace %q and name %q must both be set", c.Namespace, c.Name)
	case strings.Count(id, "/") != 1:
		return invalid("neither namespace %q nor name %q may contain a slash", c.Namespace, c.Name)
	case len(id) > maxID || !utf8.ValidString(id):
		return invalid("namespace, slash and name must be UTF-8 of at most %d bytes, not %d", maxID, len(id))
	case c.Identity == "" || len(c.Identity) > maxIdentity || !utf8.ValidString(c.Identity):
		return invalid("identity must be UTF-8 of 1 to %d bytes, not %d", maxIdentity, len(c.Identity))
	case c.LeaseDuration < MinLeaseDuration || c.LeaseDuration > MaxLeaseDuration || c.LeaseDuration%time.Second != 0:
		return invalid("lease duration %s must be whole seconds from %s to %s: electors count in seconds",
			c.LeaseDuration, MinLeaseDuration, MaxLeaseDuration)
	case c.RequestTimeout < 0 || c.RequestTimeout >= c.LeaseDuration:
		return invalid("request timeout %s must be positive and shorter than the lease of %s", c.RequestTimeout, c.LeaseDuration)
	}
	return nil
}

// margin is how long before the server a leader considers its lease over. It is the engine's default, fixed here because
// [ConfigureManager] counts on it.
func margin(lease time.Duration) time.Duration { return min(lease/10, time.Second) }

func invalid(format string, args ...any) error {
	return fmt.Errorf("resourcelock: %w: %s", mongolock.ErrInvalid, fmt.Sprintf(format, args...))
}
