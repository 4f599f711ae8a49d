/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

const (
	// modelSteps is how many operations one sequence has, and modelSeed what one of them begins with in every run.
	modelSteps = 1200
	modelSeed  = 20260101
	// modelLease is the shortest lease in a sequence: nothing ends while it runs, unless the test ends it. What the engine makes
	// shorter, hand-overs and places in the queue, the test lengthens to modelFar after each operation.
	modelLease = 30 * time.Minute
	modelFar   = 10 * time.Hour
)

// Random operations change a lock on the real server as they change it in the model, answer the same, and keep what is always true of a
// lock, after each single step.
func TestServerDoesWhatTheModelDoes(t *testing.T) {
	for _, seed := range []uint64{modelSeed, rand.Uint64()} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newTestServer(t)
			m := &modelTest{
				T: t, server: s, fake: newFakeStore(), rng: rand.New(rand.NewPCG(seed, 1)),
				real:  newMongoStore(s.driver.Database(s.database), DefaultCollection),
				known: map[string]*knownLock{},
			}
			for _, lock := range []string{"a", "b", "c"} {
				m.known[lock] = &knownLock{changedAt: time.UnixMilli(0)} // that of a stub
				m.locks = append(m.locks, lock)
			}
			if err := m.real.selfTest(t.Context()); err != nil { // DocumentDB refuses some commands while there is no collection
				t.Fatal(err)
			}
			for range modelSteps {
				m.step()
				if t.Failed() {
					t.Fatalf("seed %d; the last operations were\n%s", seed, strings.Join(m.done[max(0, len(m.done)-12):], "\n"))
				}
			}
			for _, lock := range m.locks {
				if k := m.known[lock]; k.seq < modelSteps/40 { // a few sequences have a third of what most have
					t.Errorf("lock %s has had %d events: the test does not test", lock, k.seq)
				}
			}
			t.Logf("operations: %v", m.counts())
		})
	}
}

// modelTest is one sequence.
type modelTest struct {
	*testing.T
	server *testServer
	real   *mongoStore
	fake   *fakeStore
	rng    *rand.Rand
	locks  []string
	known  map[string]*knownLock
	asked  int      // acquisitions so far
	done   []string // what was done, with what the model answered
}

// knownLock is what is known of a lock from the steps before.
type knownLock struct {
	asked      []acquisition
	raw        bson.Raw // on the server
	model      string   // what the fake has, in full
	seq, token int64
	live       int

	changedAt, modelChangedAt time.Time
}

// step does one operation on both and compares.
func (m *modelTest) step() {
	lock := m.locks[m.rng.IntN(len(m.locks))]
	before := m.fake.stored(lock)
	name, got, want := m.operate(lock, before)
	m.done = append(m.done, fmt.Sprintf("%s %s: %s", name, lock, want))
	if got != want {
		m.Errorf("%s answers %q, the model %q", name, got, want)
	}
	for _, lock := range m.locks {
		m.compare(lock)
	}
}

func (m *modelTest) counts() map[string]int {
	counts := map[string]int{}
	for _, done := range m.done {
		name, _, _ := strings.Cut(done, " ")
		counts[name]++
	}
	return counts
}

// both answers a question about each of the stores.
func (m *modelTest) both(ask func(store) (any, error)) (got, want string) {
	answer := func(s store) string {
		a, err := ask(s)
		return fmt.Sprint(a, " ", err)
	}
	return answer(m.real), answer(m.fake)
}

// operate does something at random to a lock, or to all, and returns what and what both answered.
func (m *modelTest) operate(lock string, before document) (name, got, want string) {
	ref := m.someone(lock, before)
	switch dice := m.rng.IntN(100); {
	case dice < 22:
		a := m.acquisition(lock, true)
		name = fmt.Sprintf("acquire (%s, barge %t, %s)", a.mode, a.barge, a.owner)
		got, want = m.both(func(s store) (any, error) { return outcome(s.acquire(m.Context(), a))(a, false) })
	case dice < 46:
		a := m.acquisition(lock, false)
		name = fmt.Sprintf("queue (%s, %s)", a.mode, a.owner)
		got, want = m.both(func(s store) (any, error) { return outcome(s.queue(m.Context(), a))(a, true) })
	case dice < 68:
		contended := m.rng.IntN(2) == 0
		name = fmt.Sprintf("release (contended %t, %s)", contended, ref.holderID)
		got, want = m.both(func(s store) (any, error) {
			g := m.grant(s, ref)
			g.contended = contended
			return s.release(m.Context(), g)
		})
	case dice < 75:
		name = "leave"
		got, want = m.both(func(s store) (any, error) { return s.leave(m.Context(), ref) })
	case dice < 79:
		refs := []grantRef{ref}
		for _, other := range m.locks { // one of each: that is what a client's batch is like
			if other != lock && m.rng.IntN(2) == 0 {
				refs = append(refs, m.someone(other, m.fake.stored(other)))
			}
		}
		name = "renew"
		got, want = m.both(func(s store) (any, error) {
			var grants []grant
			for _, ref := range refs {
				grants = append(grants, m.grant(s, ref))
			}
			return s.renew(m.Context(), grants)
		})
	case dice < 84:
		token, fakeToken := m.someToken(lock, before)
		name = "evict"
		got, want = m.both(func(s store) (any, error) {
			if s == store(m.fake) {
				return s.evict(m.Context(), lock, fakeToken, "$why")
			}
			return s.evict(m.Context(), lock, token, "$why")
		})
	case dice < 90:
		p := m.policy()
		name = fmt.Sprintf("policy %+v", p)
		got, want = m.both(func(s store) (any, error) { return handed(s.setPolicy(m.Context(), lock, p)) })
	case dice < 93:
		name = "sweep"
		got, want = m.both(func(s store) (any, error) { return s.sweep(m.Context(), time.Time{}, time.Now().Add(modelFar)) })
	default:
		name = "expiry of " + m.expire(lock, before)
	}
	return name, got, want
}

// outcome is what an acquisition was told: whether it was granted, who waits, whom the lock was handed over to, and its place.
func outcome(doc *document, err error) func(a acquisition, queues bool) (any, error) {
	return func(a acquisition, queues bool) (any, error) {
		if err != nil {
			return nil, err
		}
		h, ok := doc.grant(a.holderID)
		told := []any{"granted", ok && doc.live(h), "queued", doc.Queued, "to", doc.handedTo(), "suspended", doc.Policy.Suspended}
		if queues {
			told = append(told, "place", doc.Place)
		}
		return told, nil
	}
}

func handed(doc *document, err error) (any, error) {
	if doc == nil || err != nil {
		return "nothing", err
	}
	return doc.handedTo(), nil
}

// acquisition is a new one, or one that was asked before. Owners look like fields, to be taken for none.
func (m *modelTest) acquisition(lock string, try bool) acquisition {
	k := m.known[lock]
	again := slices.DeleteFunc(slices.Clone(k.asked), func(a acquisition) bool { return a.barge && !try })
	if n := len(again); n > 0 && m.rng.IntN(3) == 0 {
		a := again[max(0, n-12)+m.rng.IntN(min(n, 12))]
		doc := m.fake.stored(lock)
		if !try || doc.queued(a.holderID) < 0 { // who waits does not try
			return a
		}
	}
	m.asked++
	a := acquisition{
		lock: lock, holderID: newHolderID(), owner: fmt.Sprintf("$o%d", m.asked), mode: modeShared,
		leaseMS: int64(1+m.rng.IntN(4)) * modelLease.Milliseconds(), meta: []metaPair{{Key: "$k", Value: "$$NOW"}},
		barge: try && m.rng.IntN(4) == 0,
	}
	if m.rng.IntN(5) < 2 {
		a.mode = modeExclusive
	}
	k.asked = append(k.asked, a)
	return a
}

// someone is a holder, a waiter, or nobody.
func (m *modelTest) someone(lock string, doc document) grantRef {
	var ids []string
	for _, h := range doc.State.Holders {
		ids = append(ids, h.ID)
	}
	if len(ids) == 0 || m.rng.IntN(4) == 0 {
		for _, w := range doc.State.Waiters {
			ids = append(ids, w.ID)
		}
	}
	if len(ids) == 0 || m.rng.IntN(12) == 0 {
		return grantRef{lock: lock, holderID: newHolderID()}
	}
	return grantRef{lock: lock, holderID: ids[m.rng.IntN(len(ids))]}
}

// grant is that of somebody in a store, which has tokens of its own; of nobody, one that is not there.
func (m *modelTest) grant(in store, ref grantRef) grant {
	doc := m.fake.stored(ref.lock)
	h, ok := doc.grant(ref.holderID)
	if ok && in != store(m.fake) {
		doc = m.server.stored(m.T, ref.lock)
		h, _ = doc.grant(ref.holderID)
	}
	return grant{grantRef: ref, owner: h.Owner, token: h.Token}
}

// someToken is that of a holder, or of nobody, on the server and in the model.
func (m *modelTest) someToken(lock string, doc document) (server, fake int64) {
	if n := len(doc.State.Holders); n > 0 && m.rng.IntN(6) > 0 {
		i := m.rng.IntN(n)
		return m.server.stored(m.T, lock).State.Holders[i].Token, doc.State.Holders[i].Token
	}
	return 1, 1
}

func (m *modelTest) policy() policy {
	p := Policy{Capacity: 1 + m.rng.IntN(4), Suspended: m.rng.IntN(6) == 0, Retain: m.rng.IntN(4) == 0}
	if m.rng.IntN(3) == 0 {
		p.MaxLease = 2 * modelLease
	}
	if m.rng.IntN(6) == 0 {
		p = Policy{} // only then acquire and release take the short way
	}
	return p.stored()
}
