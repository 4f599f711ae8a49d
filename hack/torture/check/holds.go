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

// late is how much later than its moment something may happen on a loaded machine.
const late = time.Second

// deadlines checks that nobody believes in a lease after its deadline, and that Done is closed by then, unless the process is paused or
// killed. Of leadership the deadline is not known.
func (j *judge) deadlines() {
	for lock, grants := range j.grants {
		for _, g := range grants {
			for _, b := range g.beliefs {
				j.looked("deadline")
				if b.Held && b.Deadline < b.At {
					j.violated("deadline", lock, g.Return, b.At, "%s believed in its lease %s after the deadline", g.ID, b.At.Sub(b.Deadline))
				}
			}
			if j.rules.Audited && g.Kind != history.Lead {
				j.done(g)
			}
		}
	}
}

// done judges when a holder was told. If it was not told before its process was killed, it may have renewed its lease since it last said
// until when that lasts.
func (j *judge) done(g *grant) {
	j.looked("done")
	due := g.deadline.Add(late)
	if g.told == 0 {
		due = due.Add(g.Lease)
	}
	switch {
	case g.told != 0 && g.told <= due, g.told == 0 && j.killed(g.Operation) <= due, j.paused(g.Worker, g.deadline, due):
	case g.told != 0:
		j.violated("deadline", g.Lock, g.Return, g.told, "%s was told by Done %s after the deadline", g.ID, g.told.Sub(g.deadline))
	default:
		j.violated("deadline", g.Lock, g.Return, due, "%s was never told by Done that its lease was over", g.ID)
	}
}

// killed is when the process that did this was killed.
func (j *judge) killed(op *history.Operation) history.Stamp {
	for _, p := range j.h.Processes {
		if p.Worker == op.Worker && p.Incarnation == op.Incarnation && p.Killed != 0 {
			return p.Killed
		}
	}
	return never
}

func (j *judge) paused(worker int, from, to history.Stamp) bool {
	return slices.ContainsFunc(j.h.Faults, func(f history.Fault) bool {
		return f.Kind == plan.Pause && f.Worker == worker && f.From <= to && f.Until >= from
	})
}

// resource checks that what the lock protects accepted no older token after a newer one, and only tokens that were granted; and that it
// refused none of a holder who was alone and surely held the lock, as then it had seen a token that is newer.
func (j *judge) resource() {
	for i := range j.h.Operations {
		op := &j.h.Operations[i]
		g := j.byGrant[op.Grant]
		if op.Kind != history.Write || g == nil || j.rules.Capacity[op.Lock] > 1 {
			continue
		}
		j.looked("resource")
		if op.Outcome == history.Refused && op.Return < g.end {
			j.violated("resource", op.Lock, op.Call, op.Return, "it refused token %d of %s, who held the lock: it knew a newer one", op.Token, op.ID)
		}
	}
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
