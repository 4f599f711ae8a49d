/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// What a waiter sees at a glance and what the doorbell says are hints, and whatever they are, the waiter looks again in time. A lease that
// lasts does not wake it.
func FuzzHints(f *testing.F) {
	at := time.UnixMilli(1_000_000)
	for _, value := range []any{
		bson.D{},
		bson.D{{Key: "mongolock", Value: bellMark}, {Key: "hello", Value: "hello"}},
		message{Mark: bellMark, News: []news{{Lock: "x", To: []string{"me", "other"}}, {Lock: "y"}}},
		message{Mark: bellMark, News: []news{{Lock: "x"}}, All: true},
		bson.D{{Key: "mongolock", Value: bellMark}, {Key: "news", Value: bson.A{1, nil, bson.D{{Key: "to", Value: nil}}}}},
		aGlimpse(at, glimpsedHolder{"other", at.Add(time.Second)}),
		aGlimpse(at, glimpsedHolder{"other", at}, glimpsedHolder{"me", at.Add(time.Second)}),
		aGlimpse(at, glimpsedHolder{"other", never}), // longer than a Duration can be
		aGlimpse(at),
		bson.D{{Key: "state", Value: bson.D{{Key: "grants", Value: int64(-1 << 63)}}}, {Key: "head", Value: nil}},
	} {
		raw, err := bson.Marshal(value)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, uint16(0))
		f.Add(raw, uint16(9))
	}
	now := time.Minute
	c := newClient(f.Context(), newSettings(nil), newFakeStore(), nil, func() time.Duration { return now })
	f.Cleanup(func() {
		if err := c.Close(context.WithoutCancel(f.Context())); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, raw []byte, place uint16) {
		if bson.Raw(raw).Validate() != nil {
			return // on a text of negative length bson.Unmarshal never ends; no server sends one
		}
		w := &wait{
			ref: grantRef{"x", "me"}, wake: make(chan struct{}, 1), place: int(place) % (MaxWaiters + 1), held: true, changedAt: at, since: now,
			next: now + maxFarLook,
		}
		c.lookout.waits = map[string]*wait{"x": w}
		if g := (glimpse{}); bson.Unmarshal(raw, &g) == nil {
			c.lookout.compare(w, &g)
			lasts := len(g.State.Holders) > 0 && !slices.ContainsFunc(g.State.Holders, func(h glimpsedHolder) bool {
				return h.ID == "me" || !h.ExpiresAt.After(g.Now)
			})
			if lasts && len(w.wake) > 0 {
				t.Errorf("at place %d a lease that lasts has woken the waiter: %+v", place, g)
			}
			checkNext(t, w, now)
		}
		if m := (message{}); bson.Unmarshal(raw, &m) == nil && m.Mark == bellMark {
			l := &listener{bell: c.bell}
			before := w.news
			l.take(m, "hello", false)
			if w.news != before && !l.heard {
				t.Errorf("heard before its own message: %+v", m)
			}
			l.heard = true
			l.take(m, "hello", false)
			l.deafen()
			checkNext(t, w, now)
		}
	})
}

// aGlimpse is what a waiter sees.
func aGlimpse(now time.Time, holders ...glimpsedHolder) glimpse {
	g := glimpse{ID: "x", Head: []string{"first", "me"}, Now: now}
	g.State.Holders, g.State.ChangedAt = holders, now
	return g
}

func checkNext(t *testing.T, w *wait, now time.Duration) {
	t.Helper()
	if w.next < now || w.next > now+maxFarLook {
		t.Errorf("the next look is %s from now", w.next-now)
	}
}

// Whatever happens between two looks, and however slowly somebody fetches what the looks have found, each event comes once and in order,
// and those that are lost are counted.
func FuzzChanges(f *testing.F) {
	const events, look, fetch, anew = 0x1f, 0x20, 0x40, 0x80
	for _, steps := range [][]byte{
		{},
		{1 | look | fetch, 2 | look | fetch},
		{17 | look | fetch, 31 | look, 31 | look | fetch},
		{1 | look, 1 | look, 20 | look, 16 | look, look | fetch},
		{5 | look | fetch, anew | 3 | look | fetch},
		{3 | look | fetch, anew | 3 | look | fetch, 1 | look | fetch},
		{3 | look | fetch, anew | 30 | look | fetch},
		{3 | look | fetch, anew | look | fetch},
	} {
		f.Add(steps)
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		s := newChangeTest(t)
		for _, step := range steps {
			if step&anew != 0 {
				s.remove()
			}
			s.happen(int(step & events))
			if step&look != 0 {
				s.look()
			}
			if step&fetch != 0 {
				s.fetch()
			}
		}
	})
}

// changeTest is a lock, the reader that looks at it, and a consumer.
type changeTest struct {
	*testing.T
	doc     document
	token   int64 // of the last event
	born    int64 // the last token of the document before
	seen    mark
	pending *Change
	told    int64 // the last event that the consumer knows, or knows to have missed
	renewed bool  // it does not know yet that the document was made anew
}

func newChangeTest(t *testing.T) *changeTest {
	return &changeTest{T: t, doc: document{ID: "x"}}
}

// remove is the end of the document, and the beginning of another one.
func (s *changeTest) remove() {
	s.look()
	s.fetch() // two documents in one change are a matter of their own
	s.doc, s.born, s.renewed = document{ID: "x"}, s.token, true
}

// happen has so many events happen.
func (s *changeTest) happen(n int) {
	state := &s.doc.State
	for range n {
		state.Seq++
		s.token++
		state.ChangedAt = time.UnixMilli(s.token)
		state.Events = append(slices.Clone(state.Events), event{Seq: state.Seq, Token: s.token})
		state.Events = state.Events[max(0, len(state.Events)-ringSize):]
	}
}

// look is what a reader and a watcher do.
func (s *changeTest) look() {
	if s.doc.mark() == s.seen {
		return
	}
	change := newChange(s.doc.state(), s.seen)
	s.seen = s.doc.mark()
	if s.pending != nil {
		change = merge(*s.pending, change)
	}
	s.pending = &change
}

// fetch is what a consumer gets.
func (s *changeTest) fetch() {
	change := s.pending
	if s.pending = nil; change == nil {
		return
	}
	if s.renewed {
		s.renewed = false
		// Only if so much has happened that nothing is left of what would tell, it goes unnoticed.
		noticed := len(change.Events) > 0 && change.Events[0].Seq == change.Missed+1
		if events := change.State.Events; noticed || len(events) == 0 || events[0].Seq <= s.told {
			s.told = 0
		}
	}
	for i, e := range change.Events {
		if i == 0 {
			s.told += change.Missed
		}
		if s.told++; e.Seq != s.told || e.Token != s.born+e.Seq {
			s.Fatalf("event %+v comes after the one before %d: %+v", e, s.told, change)
		}
	}
	if s.told != change.State.Seq || change.Missed < 0 || len(change.Events) > ringSize || len(change.Events) == 0 && change.Missed > 0 {
		s.Fatalf("the consumer knows of %d events: %+v", s.told, change)
	}
}
