//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// check is a statement that the demo makes and whether it is true. What could not be looked at is not.
type check struct {
	what, detail string
	ok           bool
}

func (c check) String() string {
	verdict := "ok    "
	if !c.ok {
		verdict = "FAILED"
	}
	return fmt.Sprintf("%s  %s: %s", verdict, c.what, c.detail)
}

// checkElection: in the operators' own words exactly one led at every sampled moment but those of the takeover, when at most one did.
// least is how many samples there should be.
func checkElection(samples []sample, t *takeover, least int) check {
	var two, none, gap int
	for _, s := range samples {
		during := t != nil && s.end >= t.killed && s.begin <= t.seen
		switch {
		case len(s.leaders) > 1:
			two++
		case len(s.leaders) == 1 && len(s.failures) == 0:
		case during:
			gap++
		default:
			none++
		}
	}
	return check{
		what:   "exactly one operator leads",
		detail: fmt.Sprintf("%d samples, %d with two leaders, %d with none, and %d with none during the takeover", len(samples), two, none, gap),
		ok:     two == 0 && none == 0 && len(samples)-gap >= max(least, 1),
	}
}

// checkExclusion: no two workers held a lock at the same time, although they wanted to.
func checkExclusion(holds []hold, reports []report) check {
	var waited int
	for _, r := range reports {
		if r.What == waits {
			waited++
		}
	}
	pairs := overlaps(holds)
	detail := fmt.Sprintf("%d holds of %d locks, %d overlaps; %d times a worker had to wait", len(holds), len(byLock(holds)), len(pairs), waited)
	if len(pairs) > 0 {
		detail += fmt.Sprintf("; such as %+v", pairs[0])
	}
	return check{
		what:   "workers exclude each other",
		detail: detail,
		ok:     len(pairs) == 0 && waited > 0 && len(byLock(holds)) == len(workerLocks),
	}
}

// checkTokens: the tokens that workers got grow on each lock, and so do those in MongoDB's own history, in which nobody acquires a
// lock before the holder has released it or its lease has expired.
func checkTokens(holds []hold, seen picture) check {
	var grants int
	var faults []string
	for _, pair := range unordered(holds) {
		faults = append(faults, fmt.Sprintf("worker %s got token %d after %d", pair[1].worker, pair[1].token, pair[0].token))
	}
	for lock, events := range seen.history {
		n, fault := checkHistory(events)
		grants += n
		if fault != "" {
			faults = append(faults, lock+": "+fault)
		}
	}
	if seen.missed > 0 {
		faults = append(faults, fmt.Sprintf("%d events were missed", seen.missed))
	}
	if len(seen.history) != len(workerLocks)+1 {
		faults = append(faults, fmt.Sprintf("%d locks were seen", len(seen.history)))
	}
	detail := fmt.Sprintf("%d grants of %d locks, %d faults", grants, len(seen.history), len(faults))
	if len(faults) > 0 {
		detail += ": " + strings.Join(faults, "; ")
	}
	return check{what: "tokens grow on each lock", detail: detail, ok: grants > 0 && len(faults) == 0}
}

// checkHistory counts the grants of one lock and describes the first fault.
func checkHistory(events []mongolock.Event) (grants int, fault string) {
	var holder, last int64 // tokens; holder is 0 while the lock is free
	for _, e := range events {
		switch e.Type {
		case mongolock.EventAcquired:
			grants++
			if holder != 0 {
				return grants, fmt.Sprintf("token %d was granted while %d held", e.Token, holder)
			}
			if e.Token <= last {
				return grants, fmt.Sprintf("token %d was granted after %d", e.Token, last)
			}
			holder, last = e.Token, e.Token
		default:
			if e.Token != holder {
				return grants, fmt.Sprintf("token %d %s while %d held", e.Token, e.Type, holder)
			}
			holder = 0
		}
	}
	return grants, ""
}

// checkTakeover: a takeover happened in time, with a larger token, after the lease of the killed holder had expired: it did hold the
// lock when it died.
func checkTakeover(what string, t *takeover, history map[string][]mongolock.Event) check {
	c := check{what: what, detail: "it was not tried"}
	if t == nil {
		return c
	}
	expired := slices.ContainsFunc(history[t.lock], func(e mongolock.Event) bool {
		return e.Type == mongolock.EventExpired && e.Token == t.before
	})
	c.detail = t.String()
	if !expired {
		c.detail += "; its lease did not expire"
	}
	c.ok = expired && t.to != "" && t.to != t.from && t.next > t.before && t.took() > 0 && t.took() <= t.bound
	return c
}

// checkMirror: kubectl shows what MongoDB has.
func checkMirror(rows []row, differences []string) check {
	detail := fmt.Sprintf("state, holder, token and transitions of %d locks are equal", len(rows))
	if len(differences) > 0 {
		detail = strings.Join(differences, "; ")
	}
	return check{what: "kubectl shows what MongoDB has", detail: detail, ok: len(differences) == 0 && len(rows) == len(workerLocks)+1}
}

// checkEvents: kubectl shows events of acquired and released locks, and of the leases that expired by the kills.
func checkEvents(events []corev1.Event, takeovers ...*takeover) check {
	count := map[string]int{}
	for _, e := range events {
		count[e.Reason]++
	}
	var missing []string
	for _, reason := range []string{v1alpha1.EventLockAcquired, v1alpha1.EventLockReleased, v1alpha1.EventLockExpired} {
		if count[reason] == 0 {
			missing = append(missing, reason)
		}
	}
	for _, t := range takeovers {
		if t == nil || !slices.ContainsFunc(events, func(e corev1.Event) bool { return tellsOfExpiry(e, t) }) {
			missing = append(missing, "the expiry after a kill")
		}
	}
	detail := fmt.Sprintf("%d LockAcquired, %d LockReleased, %d LockExpired",
		count[v1alpha1.EventLockAcquired], count[v1alpha1.EventLockReleased], count[v1alpha1.EventLockExpired])
	if len(missing) > 0 {
		detail += "; missing: " + strings.Join(missing, ", ")
	}
	return check{what: "kubectl shows the events", detail: detail, ok: len(missing) == 0}
}

func tellsOfExpiry(e corev1.Event, t *takeover) bool {
	return e.Reason == v1alpha1.EventLockExpired && e.InvolvedObject.Namespace+"/"+e.InvolvedObject.Name == t.lock &&
		strings.Contains(e.Message, fmt.Sprintf("token %d ", t.before))
}

// leastSamples is how many samples of the leader a run must have: one each second, where five are meant to be taken.
func leastSamples(duration time.Duration) int { return int(duration / time.Second) }
