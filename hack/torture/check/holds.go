//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"slices"
	"time"

	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

// exclusion checks that no two holds overlap of which one is exclusive, and that no more shared ones do than the capacity allows. A hold
// is from the return of the acquisition until the holder surely believed no more.
func (j *judge) exclusion() {
	for lock, grants := range j.grants {
		var active []*grant
		for _, g := range grants {
			if g.end <= g.Return {
				continue
			}
			j.looked("exclusion")
			active = slices.DeleteFunc(active, func(a *grant) bool { return a.end <= g.Return })
			for _, a := range active {
				if !a.Shared || !g.Shared {
					j.violated("exclusion", lock, g.Return, min(a.end, g.end), "%s (token %d) and %s (token %d) held it at a time, for %s",
						a.ID, a.Token, g.ID, g.Token, min(a.end, g.end).Sub(g.Return))
				}
			}
			active = append(active, g)
			j.capacity(lock, active)
		}
	}
}

func (j *judge) capacity(lock string, active []*grant) {
	shared := 0
	for _, a := range active {
		if a.Shared {
			shared++
		}
	}
	if shared > 1 {
		j.looked("capacity")
	}
	if last := active[len(active)-1]; shared > max(1, j.rules.Capacity[lock]) {
		j.violated("capacity", lock, active[0].Return, last.Return, "%d held it at a time, and its capacity is %d", shared, j.rules.Capacity[lock])
	}
}

// tokens checks that a grant which was called after another had returned has the larger token.
func (j *judge) tokens() {
	for lock, byReturn := range j.grants {
		byCall := slices.Clone(byReturn)
		slices.SortStableFunc(byCall, func(a, b *grant) int { return int(a.Call - b.Call) })
		var largest *grant
		next := 0
		for _, g := range byCall {
			for ; next < len(byReturn) && byReturn[next].Return < g.Call; next++ {
				if largest == nil || byReturn[next].Token > largest.Token {
					largest = byReturn[next]
				}
			}
			j.looked("tokens")
			switch {
			case g.Token <= 0:
				j.violated("tokens", lock, g.Call, g.Return, "%s got token %d, which is none", g.ID, g.Token)
			case largest != nil && g.Token <= largest.Token:
				j.violated("tokens", lock, largest.Call, g.Return, "%s got token %d after %s had got token %d", g.ID, g.Token, largest.ID, largest.Token)
			}
		}
	}
}

// deadlines checks that nobody believes in a lease after its deadline, and that Done is closed by then, unless the process is paused.
func (j *judge) deadlines() {
	const late = time.Second
	for lock, grants := range j.grants {
		for _, g := range grants {
			deadline := g.Deadline
			for _, b := range g.beliefs {
				j.looked("deadline")
				if b.Held && b.Deadline < b.At {
					j.violated("deadline", lock, g.Return, b.At, "%s believed in its lease %s after the deadline", g.ID, b.At.Sub(b.Deadline))
				}
				if !b.Done && g.Kind != history.Lead && b.At > max(deadline, b.Deadline).Add(late) && !j.paused(g.Worker, deadline, b.At) {
					j.violated("deadline", lock, g.Return, b.At, "%s was not told by Done %s after the deadline", g.ID, b.At.Sub(max(deadline, b.Deadline)))
				}
				deadline = max(deadline, b.Deadline)
			}
		}
	}
}

func (j *judge) paused(worker int, from, to history.Stamp) bool {
	return slices.ContainsFunc(j.h.Faults, func(f history.Fault) bool {
		return f.Kind == plan.Pause && f.Worker == worker && f.From <= to && f.Until >= from
	})
}

// resource checks that what the lock protects accepted no older token after a newer one, and only tokens that were granted.
func (j *judge) resource() {
	largest := map[string]history.Accepted{}
	for _, a := range j.h.Accepted {
		j.looked("resource")
		last := largest[a.Lock]
		if a.Token < last.Token {
			j.violated("resource", a.Lock, last.At, a.At, "it accepted token %d from %s after token %d from %s", a.Token, a.Operation, last.Token, last.Operation)
			continue
		}
		if j.byToken[tokenOf{a.Lock, a.Token}] == nil {
			j.violated("resource", a.Lock, a.At, a.At, "it accepted token %d from %s, which nobody was granted", a.Token, a.Operation)
		}
		largest[a.Lock] = a
	}
}
