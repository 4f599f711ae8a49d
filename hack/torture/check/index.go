//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

const (
	never = history.Stamp(math.MaxInt64)
	// listed is how many violations of one check are told.
	listed = 20
)

// judge is a history in the order in which the checks need it, and what they found.
type judge struct {
	h       *history.History
	rules   Rules
	verdict Verdict
	found   map[string]int

	locks   []string
	byOwner map[string][]*history.Operation
	grants  map[string][]*grant // by lock, in order of Return
	byGrant map[string]*grant   // by the ID of the acquisition
	byToken map[tokenOf]*grant
	ends    map[string][]*history.Operation // releases and evictions, by lock
	looks   map[string][]*history.Look
	log     map[string]*eventLog
}

type tokenOf struct {
	lock  string
	token int64
}

// grant is an acquisition that succeeded, and what its holder believed.
type grant struct {
	*history.Operation
	beliefs []history.Belief
	told    history.Stamp // when Done was closed; 0 if that is not known
	unlock  history.Stamp // the call; never if there was none
	// deadline is the last one that the holder was told.
	deadline history.Stamp
	// cut is when something took the lock away although the holder may believe on: an eviction, the deletion of the document, a jump of
	// the server's clock.
	cut history.Stamp
	// end is until when the holder surely believed.
	end history.Stamp
}

func acquires(kind history.Kind) bool {
	return kind == history.Try || kind == history.Wait || kind == history.Lead
}

func newJudge(h *history.History, rules Rules) *judge {
	j := &judge{
		h: h, rules: rules, found: map[string]int{},
		byOwner: map[string][]*history.Operation{}, grants: map[string][]*grant{}, byGrant: map[string]*grant{},
		byToken: map[tokenOf]*grant{}, ends: map[string][]*history.Operation{}, looks: map[string][]*history.Look{}, log: map[string]*eventLog{},
		verdict: Verdict{Linearizable: map[string]bool{}, Faults: map[string]int{}, Checked: map[string]int{}},
	}
	locks := map[string]bool{}
	for i := range h.Operations {
		op := &h.Operations[i]
		locks[op.Lock] = true
		if acquires(op.Kind) {
			j.byOwner[op.Owner] = append(j.byOwner[op.Owner], op)
		}
		if endOfKind[op.Kind] != "" {
			j.ends[op.Lock] = append(j.ends[op.Lock], op)
		}
		if acquires(op.Kind) && op.Outcome == history.OK {
			j.add(&grant{Operation: op, unlock: never, deadline: op.Deadline, cut: never})
		}
	}
	j.locks = slices.Sorted(maps.Keys(locks))
	for i := range h.Looks {
		j.looks[h.Looks[i].Lock] = append(j.looks[h.Looks[i].Lock], &h.Looks[i])
	}
	if rules.Audited {
		j.readLogs()
	}
	j.follow()
	for _, grants := range j.grants {
		for _, g := range grants {
			g.end = j.endOf(g)
		}
		slices.SortStableFunc(grants, func(a, b *grant) int { return cmp.Compare(a.Return, b.Return) })
	}
	return j
}

func (j *judge) add(g *grant) {
	j.grants[g.Lock] = append(j.grants[g.Lock], g)
	j.byGrant[g.ID] = g
	at := tokenOf{g.Lock, g.Token}
	if other := j.byToken[at]; other != nil {
		j.violated("tokens", g.Lock, other.Call, g.Return, "token %d was granted twice: to %s and to %s", g.Token, other.ID, g.ID)
	}
	j.byToken[at] = g
}

// follow notes what became of each grant.
func (j *judge) follow() {
	for i := range j.h.Operations {
		j.followCall(&j.h.Operations[i])
	}
	for _, b := range j.h.Beliefs {
		if g := j.byGrant[b.Grant]; g != nil {
			g.beliefs = append(g.beliefs, b)
			if b.Held {
				g.deadline = max(g.deadline, b.Deadline)
			}
		}
	}
	for _, t := range j.h.Told {
		if g := j.byGrant[t.Grant]; g != nil {
			g.told, g.deadline = t.At, max(g.deadline, t.Deadline)
		}
	}
	for i := range j.h.Faults {
		j.cutBy(&j.h.Faults[i])
	}
}

func (j *judge) followCall(op *history.Operation) {
	switch g := j.byGrant[op.Grant]; {
	case op.Kind == history.Unlock && g != nil:
		g.unlock = min(g.unlock, op.Call)
	case op.Kind == history.Renew && g != nil && op.Outcome == history.OK:
		g.deadline = max(g.deadline, op.Deadline)
	case op.Kind == history.Evict && (op.Outcome == history.OK || op.Outcome == history.Unknown):
		if evicted := j.byToken[tokenOf{op.Lock, op.Token}]; evicted != nil {
			evicted.cut = min(evicted.cut, op.Call)
		}
	}
}

// cutBy notes which grants a fault took away: those that the server had made before it was over. A purge takes none, as it only deletes
// what nobody holds.
func (j *judge) cutBy(f *history.Fault) {
	var locks []string
	switch {
	case f.Kind == plan.Clock: // back and forth: what was granted before it is over may end at any time
		locks = j.locks
	case plan.OnDocument(f.Kind) && f.Kind != plan.Purge && f.Hits > 0:
		locks = []string{f.Lock}
	}
	for _, lock := range locks {
		for _, g := range j.grants[lock] {
			if j.madeAfter(g) < f.Until {
				g.cutIf(max(f.From, g.Return))
			}
		}
	}
}

// madeAfter is a time after which the server made the grant: that of the look before the one that saw its event, or its call.
func (j *judge) madeAfter(g *grant) history.Stamp {
	if e := j.log[g.Lock].find(g.Token, acquired); e != nil {
		return max(e.before, g.Call)
	}
	return g.Call
}

// cutIf notes a cut, if the grant was alive then.
func (g *grant) cutIf(at history.Stamp) {
	if at <= g.deadline.Add(g.Lease) {
		g.cut = min(g.cut, at)
	}
}

// endOf is until when a holder surely believed: at most until its deadline, and not after it unlocked, was told of the loss, or died.
func (j *judge) endOf(g *grant) history.Stamp {
	end := min(g.deadline, g.unlock, g.cut)
	end = min(end, j.killed(g.Operation))
	believed := g.Return
	for _, b := range g.beliefs {
		if !b.Held {
			end = min(end, believed)
			break
		}
		believed = b.At
	}
	return end
}

// expired is when, at the earliest, the server may have taken the grant for ended without being told to.
func (g *grant) expired() history.Stamp { return min(g.cut, g.deadline.Add(g.Margin)) }

// violated notes a violation.
func (j *judge) violated(check, lock string, from, to history.Stamp, format string, args ...any) {
	j.found[check]++
	if j.found[check] > listed {
		return
	}
	j.verdict.Violations = append(j.verdict.Violations, Violation{
		Check: check, Lock: lock, From: from, To: to, Text: fmt.Sprintf(format, args...),
	})
}

// looked notes that a check looked at something.
func (j *judge) looked(check string) { j.verdict.Checked[check]++ }

// hit tells whether a fault overlapped the time given: one of the server, of the lock's document or of the worker; any at all for a
// worker below 0.
func (j *judge) hit(from, to history.Stamp, lock string, worker int) bool {
	return slices.ContainsFunc(j.h.Faults, func(f history.Fault) bool {
		return f.From <= to && f.Until >= from && concerns(f, lock, worker)
	})
}

// concerns tells whether a fault hit the server, the lock's document or the worker; any at all for a worker below 0.
func concerns(f history.Fault, lock string, worker int) bool {
	return f.Hits > 0 && (worker < 0 || f.Worker == worker || f.Worker < 0 && (f.Lock == "" || f.Lock == lock))
}
