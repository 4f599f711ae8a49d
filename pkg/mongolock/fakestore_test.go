/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeStore is a fake: a database in memory, with the semantics of the pipelines, as fakelock_test.go has them, and the clock of the
// test's bubble. Only it can produce exact timing: requests and replies that take as long as, and fail when, a test wants.
type fakeStore struct {
	mu    sync.Mutex
	docs  map[string]*document
	calls []fakeCall
	count map[string]int // calls by op
	hook  hook
}

// fakeCall is one command that was sent.
type fakeCall struct {
	op     string
	number int // counts the calls of this op, from 1
	locks  []string
	at     time.Time
}

func newFakeStore() *fakeStore {
	return &fakeStore{docs: map[string]*document{}, count: map[string]int{}}
}

// intercept puts a hook in place; nil removes it.
func (s *fakeStore) intercept(h hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

func (s *fakeStore) call(ctx context.Context, op string, locks []string, effect func(now time.Time)) error {
	s.mu.Lock()
	s.count[op]++
	call := fakeCall{op: op, number: s.count[op], locks: locks, at: time.Now()}
	s.calls = append(s.calls, call)
	hook := s.hook
	s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return classify(op, err)
	}
	apply := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		effect(serverTime())
	}
	if hook == nil {
		apply()
		return nil
	}
	return hook(ctx, call, apply)
}

// serverTime has milliseconds, like a BSON date.
func serverTime() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func (s *fakeStore) acquire(ctx context.Context, a acquisition) (*document, error) {
	return s.answer(ctx, "acquire", a, func(doc *document, now time.Time) { doc.try(a, now) })
}

func (s *fakeStore) queue(ctx context.Context, a acquisition) (*document, error) {
	return s.answer(ctx, "queue", a, func(doc *document, now time.Time) { doc.join(a, now) })
}

// answer runs an acquisition on a lock's document, which it makes if there is none.
func (s *fakeStore) answer(ctx context.Context, op string, a acquisition, effect func(doc *document, now time.Time)) (*document, error) {
	var reply document
	err := s.call(ctx, op, []string{a.lock}, func(now time.Time) {
		doc := s.made(a.lock)
		if doc.foreign == nil {
			effect(doc, now)
		}
		reply = doc.at(now)
		reply.Place, reply.Queued = doc.queued(a.holderID), len(doc.State.Waiters)
	})
	if err != nil {
		return nil, err
	}
	return &reply, reply.foreign
}

func (s *fakeStore) made(lock string) *document {
	doc, ok := s.docs[lock]
	if !ok {
		doc = &document{ID: lock, V: schemaVersion, Policy: Policy{}.stored()}
		s.docs[lock] = doc
	}
	return doc
}

func (s *fakeStore) renew(ctx context.Context, grants []grant) ([]fate, error) {
	locks := make([]string, len(grants))
	for i, g := range grants {
		locks[i] = g.lock
	}
	fates := make([]fate, len(grants))
	err := s.call(ctx, "renew", locks, func(now time.Time) {
		renewed := 0
		for i, g := range grants {
			h := s.holder(g.grantRef)
			if h == nil || h.Token != g.token || !h.ExpiresAt.After(now) {
				fates[i] = fateGone
				continue
			}
			renewed++
			h.Rev++
			if end := now.Add(time.Duration(h.Lease) * time.Millisecond); end.After(h.ExpiresAt) {
				h.ExpiresAt = end
			}
		}
		for i := range fates {
			if fates[i] != fateGone && renewed == len(grants) {
				fates[i] = fateRenewed // counts tell of all or of none
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return fates, nil
}

func (s *fakeStore) release(ctx context.Context, g grant) (departure, error) {
	how := exitNone
	gone, err := s.depart(ctx, g.grantRef, func(h *holder, now time.Time) bool {
		switch {
		case h == nil:
			return false // a waiter is left alone
		case h.Token != g.token || !h.ExpiresAt.After(now):
			how = exitLate
		default:
			how = exitDone
		}
		return true
	})
	gone.how = how
	return gone, err
}

func (s *fakeStore) leave(ctx context.Context, ref grantRef) (departure, error) {
	return s.depart(ctx, ref, func(*holder, time.Time) bool { return true })
}

// depart takes out a holder or a waiter, if leaves says so, which is given the holder.
func (s *fakeStore) depart(ctx context.Context, ref grantRef, leaves func(*holder, time.Time) bool) (departure, error) {
	var gone departure
	err := s.call(ctx, "release", []string{ref.lock}, func(now time.Time) {
		doc := s.docs[ref.lock]
		h := s.holder(ref)
		if h == nil && (doc == nil || doc.queued(ref.holderID) < 0) || !leaves(h, now) {
			return
		}
		doc.State.Waiters = slices.DeleteFunc(doc.State.Waiters, func(w waiterDoc) bool { return w.ID == ref.holderID })
		doc.drop(now, EventReleased, "", func(h holder) bool { return h.ID == ref.holderID })
		doc.handOver(now)
		doc.State.ChangedAt = now
		at := doc.at(now)
		gone = departure{how: exitDone, to: at.handedTo()}
	})
	if err != nil {
		return departure{}, err
	}
	return gone, nil
}

func (s *fakeStore) evict(ctx context.Context, lock string, token int64, reason string) (departure, error) {
	var gone departure
	err := s.call(ctx, "evict", []string{lock}, func(now time.Time) {
		doc := s.docs[lock]
		if doc == nil {
			return
		}
		i := slices.IndexFunc(doc.State.Holders, func(h holder) bool { return h.Token == token })
		if i < 0 {
			return
		}
		gone.how = exitDone
		if !doc.State.Holders[i].ExpiresAt.After(now) {
			gone.how = exitLate
		}
		doc.drop(now, EventEvicted, reason, func(h holder) bool { return h.Token == token })
		doc.handOver(now)
		at := doc.at(now)
		gone.to = at.handedTo()
	})
	if err != nil {
		return departure{}, err
	}
	return gone, nil
}

func (s *fakeStore) setPolicy(ctx context.Context, lock string, p policy) (*document, error) {
	var reply document
	err := s.call(ctx, "policy", []string{lock}, func(now time.Time) {
		doc := s.made(lock)
		decided := doc.Policy != p
		doc.Policy = p
		if decided || doc.moves(now) {
			doc.drop(now, EventExpired, "", nobody)
			doc.handOver(now)
			doc.State.ChangedAt = now
		}
		reply = doc.at(now)
	})
	if err != nil {
		return nil, err
	}
	return &reply, nil
}

func (s *fakeStore) sweep(ctx context.Context, after, before time.Time) (int64, error) {
	n := int64(0)
	err := s.call(ctx, "sweep", nil, func(now time.Time) {
		for _, doc := range s.docs {
			ends := doc.ends()
			if !ends.IsZero() && ends.After(after) && !ends.After(before) && doc.moves(now) {
				doc.drop(now, EventExpired, "", nobody)
				doc.handOver(now)
				n++
			}
		}
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (s *fakeStore) purge(ctx context.Context, _ time.Time) (int64, error) {
	return 0, s.call(ctx, "purge", nil, func(time.Time) {})
}

func (s *fakeStore) glance(ctx context.Context, locks []string) ([]glimpse, error) {
	var seen []glimpse
	err := s.call(ctx, "glance", locks, func(now time.Time) {
		for _, lock := range locks {
			doc := s.docs[lock]
			if doc == nil || doc.foreign != nil {
				continue
			}
			g := glimpse{ID: lock, Now: now}
			g.State.Grants, g.State.ChangedAt = doc.State.Grants, doc.State.ChangedAt
			for _, h := range doc.State.Holders {
				g.State.Holders = append(g.State.Holders, glimpsedHolder{h.ID, h.ExpiresAt})
			}
			for _, w := range doc.State.Waiters[:min(headSize, len(doc.State.Waiters))] {
				g.Head = append(g.Head, w.ID)
			}
			seen = append(seen, g)
		}
	})
	if err != nil {
		return nil, err
	}
	return seen, nil
}

func (s *fakeStore) find(ctx context.Context, q query) ([]document, error) {
	var docs []document
	err := s.call(ctx, "find", q.ids, func(now time.Time) {
		for id, doc := range s.docs {
			skip := len(q.ids) > 0 && !slices.Contains(q.ids, id) || len(q.ids) == 0 && doc.foreign != nil ||
				!strings.HasPrefix(id, q.prefix) || q.after != "" && id <= q.after ||
				q.heldOnly && len(doc.State.Holders) == 0 || !q.changedAfter.IsZero() && !doc.State.ChangedAt.After(q.changedAfter)
			if !skip {
				docs = append(docs, doc.at(now))
			}
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(docs, func(a, b document) int { return cmp.Compare(a.ID, b.ID) })
	if q.limit > 0 && int64(len(docs)) > q.limit {
		docs = docs[:q.limit]
	}
	return docs, nil
}

// holder finds a grant; the caller has the mutex.
func (s *fakeStore) holder(ref grantRef) *holder {
	doc := s.docs[ref.lock]
	if doc == nil {
		return nil
	}
	for i := range doc.State.Holders {
		if doc.State.Holders[i].ID == ref.holderID {
			return &doc.State.Holders[i]
		}
	}
	return nil
}

// put stores a document as it is.
func (s *fakeStore) put(doc document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.docs[doc.ID] = &doc
}

// remove deletes a document, as the TTL index or an administrator does.
func (s *fakeStore) remove(lock string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.docs, lock)
}

// stored is a copy of a document; empty if there is none.
func (s *fakeStore) stored(lock string) document {
	s.mu.Lock()
	defer s.mu.Unlock()
	if doc, ok := s.docs[lock]; ok {
		return doc.at(serverTime())
	}
	return document{ID: lock, Now: serverTime()}
}

// held tells whether somebody holds the lock.
func (s *fakeStore) held(lock string) bool {
	doc := s.stored(lock)
	return len(doc.state().Holders) > 0
}

// sent returns the calls of one kind, all if op is empty.
func (s *fakeStore) sent(op string) []fakeCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	var calls []fakeCall
	for _, call := range s.calls {
		if op == "" || call.op == op {
			calls = append(calls, call)
		}
	}
	return calls
}

// fakeClient is a client on the fake, with the clock of the bubble. It is closed with the test, when the store works again.
func fakeClient(t *testing.T, s *fakeStore, opts ...Option) *Client {
	t.Helper()
	start := time.Now()
	return fakeClientAt(t, s, func() time.Duration { return time.Since(start) }, opts...)
}

func fakeClientAt(t *testing.T, s *fakeStore, now func() time.Duration, opts ...Option) *Client {
	t.Helper()
	settings := newSettings(opts)
	if err := settings.validate(); err != nil {
		t.Fatal(err)
	}
	c := newClient(t.Context(), settings, s, nil, now)
	t.Cleanup(func() {
		s.intercept(nil)
		if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}
