//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"testing"

	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

// twoGrants is a lock that was granted twice, with its events.
func twoGrants() (s *story, a, b history.Operation) {
	s = newStory()
	s.look(0, nil)
	a = s.grant(5, 20, 1)
	s.unlock(a, 50, 60)
	b = s.grant(70, 80, 2)
	s.unlock(b, 120, 130)
	return s, a, b
}

func TestLog(t *testing.T) {
	for name, c := range map[string]struct {
		tell func(s *story, a, b history.Operation)
		want []string
	}{
		"as it should be": {func(s *story, a, b history.Operation) {
			s.look(30, nil, event(acquired, a))
			s.look(140, nil, event(released, a), event(acquired, b), event(released, b))
		}, nil},
		"granted while held": {func(s *story, a, b history.Operation) {
			s.look(30, nil, event(acquired, a))
			s.look(140, nil, event(acquired, b), event(released, a), event(released, b))
		}, []string{"log"}},
		"a release without a grant": {func(s *story, a, b history.Operation) {
			s.look(30, nil, event(acquired, a))
			s.look(140, nil, event(released, a), event(released, a), event(acquired, b), event(released, b))
		}, []string{"linearizability", "log"}},
		"no event of a grant": {func(s *story, _, b history.Operation) {
			s.look(140, nil, event(acquired, b), event(released, b))
		}, []string{"claims"}},
		"no event of a release": {func(s *story, a, b history.Operation) {
			s.look(30, nil, event(acquired, a))
			s.look(140, nil, event("expired", a), event(acquired, b), event(released, b))
		}, []string{"claims"}},
		"a release while its holder believes": {func(s *story, a, b history.Operation) {
			s.look(30, nil, event(acquired, a), event(released, a))
			s.look(140, nil, event(acquired, b), event(released, b))
		}, []string{"claims"}},
		"an end without a grant, after a gap": {func(s *story, a, b history.Operation) {
			s.look(30, nil, event(acquired, a))
			s.seq++ // the release
			s.look(140, nil, event(acquired, b), event(released, b), event("expired", b))
			s.Looks[2].Gap = 1
		}, []string{"log"}},
		"another owner": {func(s *story, a, b history.Operation) {
			a.Owner = "somebody"
			s.look(30, nil, event(acquired, a))
			s.look(140, nil, event(released, a), event(acquired, b), event(released, b))
		}, []string{"claims"}},
		"at another time": {func(s *story, a, b history.Operation) {
			s.look(62, nil)
			s.look(140, nil, event(acquired, a), event(released, a), event(acquired, b), event(released, b))
		}, []string{"claims"}},
		"a grant for which nobody asked": {func(s *story, a, b history.Operation) {
			s.look(30, nil, event(acquired, a))
			s.look(140, nil, event(released, a), event(acquired, b), event(released, b),
				history.Event{Type: acquired, Owner: "somebody", Token: 3})
		}, []string{"claims"}},
		"tokens that do not grow over a deletion": {func(s *story, a, b history.Operation) {
			s.look(30, nil, event(acquired, a))
			s.look(140, nil, event(released, a), event(acquired, b), event(released, b))
			s.seq = 0
			s.fault(history.Fault{Kind: plan.Delete, Lock: "x", Worker: -1, Hits: 1}, 141, 142)
			s.op(history.Try, 150, 0, func(op *history.Operation) { op.Outcome, op.Return, op.Owner = history.Unknown, 0, "late" })
			s.look(200, func(l *history.Look) { l.Anew = true }, history.Event{Type: acquired, Owner: "late", Token: 2})
		}, []string{"claims", "linearizability", "tokens"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, a, b := twoGrants()
			c.tell(s, a, b)
			s.expectAudited(t, c.want...)
		})
	}
}

func TestUnknownOutcomesAreResolved(t *testing.T) {
	s := newStory()
	s.look(0, nil)
	unknown := func(op *history.Operation) { op.Outcome, op.Return = history.Unknown, 0 }
	applied := *s.op(history.Try, 5, 0, unknown)
	s.op(history.Try, 6, 0, unknown) // not applied
	applied.Token = 1
	s.look(30, nil, event(acquired, applied))
	s.op(history.Unlock, 40, 0, func(op *history.Operation) { unknown(op); op.Token = 1 })
	s.look(60, nil, event(released, applied))
	s.expectAudited(t)
	verdict := Judge(&s.History, Rules{Audited: true, Patience: 1e9})
	if want := (Unknown{Total: 3, Applied: 2, NotApplied: 1}); verdict.Unknown != want {
		t.Errorf("unknown outcomes %+v, want %+v", verdict.Unknown, want)
	}
	s.Looks[2].Gap = 3
	s.expectAudited(t, "audit", "unknown")
}

// TestGapsAreClosed: what the auditor missed is known if callers were told of as much.
func TestGapsAreClosed(t *testing.T) {
	tell := func(missing int64) *story {
		s, _, b := twoGrants()
		s.op(history.Try, 65, 0, func(op *history.Operation) { op.Outcome, op.Return = history.Unknown, 0 })
		s.seq += missing
		s.look(140, func(l *history.Look) { l.Gap = missing }, event(acquired, b), event(released, b))
		return s
	}
	tell(2).expectAudited(t)
	verdict := Judge(&tell(2).History, Rules{Audited: true, Patience: 1e9})
	if got := verdict.Checked["claims"]; got != 3 { // one grant and both releases: that the other grant's event is missing proves nothing
		t.Errorf("claims were checked %d times, want 3", got)
	}
	tell(3).expectAudited(t, "audit", "unknown") // the Try may have been granted the lock
}

func TestWatchers(t *testing.T) {
	for name, c := range map[string]struct {
		tell func(s *story, told func(seq, missed int64, events ...history.Event), e []history.Event)
		want []string
	}{
		"each once": {func(_ *story, told func(int64, int64, ...history.Event), e []history.Event) {
			told(0, 0)
			told(1, 0, e[0])
			told(4, 0, e[1], e[2], e[3])
		}, nil},
		"the last is missing": {func(_ *story, told func(int64, int64, ...history.Event), e []history.Event) {
			told(0, 0)
			told(3, 0, e[0], e[1], e[2])
		}, []string{"events"}},
		"one twice": {func(_ *story, told func(int64, int64, ...history.Event), e []history.Event) {
			told(0, 0)
			told(2, 0, e[0], e[1])
			told(4, 0, e[1], e[2], e[3])
		}, []string{"events"}},
		"one left out": {func(_ *story, told func(int64, int64, ...history.Event), e []history.Event) {
			told(0, 0)
			told(1, 0, e[0])
			told(4, 0, e[2], e[3])
		}, []string{"events"}},
		"one left out, and told so": {func(_ *story, told func(int64, int64, ...history.Event), e []history.Event) {
			told(0, 0)
			told(1, 0, e[0])
			told(4, 1, e[2], e[3])
		}, []string{"events"}}, // a lock keeps 16
		"one that never was": {func(_ *story, told func(int64, int64, ...history.Event), e []history.Event) {
			told(0, 0)
			e[0].Owner = "somebody"
			told(4, 0, e...)
		}, []string{"events"}},
		"gone, though nobody deleted it": {func(s *story, told func(int64, int64, ...history.Event), e []history.Event) {
			told(4, 0)
			s.Changes = append(s.Changes, history.Change{Watcher: "w0.1-0", Lock: "x", At: at(300)})
			told(4, 0, e...)
		}, []string{"events"}},
		"the end of one document and the begin of the next, together": {func(s *story, told func(int64, int64, ...history.Event), e []history.Event) {
			s.fault(history.Fault{Kind: plan.Delete, Lock: "x", Worker: -1, Hits: 1}, 150, 151)
			told(2, 0, e[0], e[1])
			anew := s.grant(160, 170, 3)
			s.seq = 0
			s.look(180, func(l *history.Look) { l.Anew = true }, event(acquired, anew))
			first := s.Looks[len(s.Looks)-1].Events[0]
			told(1, 0, e[2], e[3], first)
		}, nil},
		"the same, and nobody deleted it": {func(_ *story, told func(int64, int64, ...history.Event), e []history.Event) {
			told(2, 0, e[0], e[1])
			told(1, 0, e[2], e[3], e[0])
			told(4, 0, e...)
		}, []string{"events"}},
		"told from the beginning on again, long after the document was deleted": {func(s *story, told func(int64, int64, ...history.Event), e []history.Event) {
			s.fault(history.Fault{Kind: plan.Delete, Lock: "x", Worker: -1, Hits: 1}, 150, 151)
			told(4, 0)
			told(4, 0, e...)
			for i := range 2 {
				s.Changes[i].At = at(150 + i*11_000)
			}
			told(4, 0, e...)
			s.Changes[2].At = at(23_000)
		}, []string{"events"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, a, b := twoGrants()
			s.look(30, nil, event(acquired, a))
			s.look(140, nil, event(released, a), event(acquired, b), event(released, b))
			var all []history.Event
			for _, l := range s.Looks {
				all = append(all, l.Events...)
			}
			c.tell(s, func(seq, missed int64, events ...history.Event) {
				s.Changes = append(s.Changes, history.Change{
					Watcher: "w0.1-0", Lock: "x", At: at(200 + len(s.Changes)), Exists: true, Seq: seq, Missed: missed, Events: events,
				})
			}, all)
			s.expectAudited(t, c.want...)
		})
	}
}

// TestMissedEvents: a watcher may miss events if more happened than a lock keeps, and is told of as many as that then.
func TestMissedEvents(t *testing.T) {
	for told, want := range map[int][]string{ring: nil, ring - 1: {"events"}} {
		s := newStory()
		s.look(0, nil)
		var all []history.Event
		for i := range 10 {
			g := s.grant(5+20*i, 10+20*i, int64(i+1))
			s.unlock(g, 15+20*i, 18+20*i)
			s.look(20+20*i, nil, event(acquired, g), event(released, g))
			all = append(all, s.Looks[len(s.Looks)-1].Events...)
		}
		s.Changes = []history.Change{
			{Watcher: "w0.1-0", Lock: "x", At: at(1), Exists: true},
			{Watcher: "w0.1-0", Lock: "x", At: at(300), Exists: true, Seq: 20, Missed: int64(20 - told), Events: all[20-told:]},
		}
		s.expectAudited(t, want...)
	}
}

// TestDocumentMadeAnewWithoutEvents: who held the lock in the old document does not hold it in the new one, also if that is first seen
// before anything happened to it.
func TestDocumentMadeAnewWithoutEvents(t *testing.T) {
	s := newStory()
	s.look(0, nil)
	a := s.grant(5, 20, 1)
	s.look(30, nil, event(acquired, a))
	s.fault(history.Fault{Kind: plan.Delete, Lock: "x", Worker: -1, Hits: 1}, 31, 32)
	s.seq = 0
	s.look(40, func(l *history.Look) { l.Anew = true })
	b := s.grant(45, 60, 2)
	s.unlock(b, 70, 75)
	s.look(80, nil, event(acquired, b), event(released, b))
	s.expectAudited(t)
}
