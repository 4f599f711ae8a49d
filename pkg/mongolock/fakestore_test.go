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

// fakeStore is a fake: a database in memory, with the semantics of the pipelines and the clock of the test's bubble. Only it can
// produce exact timing: requests and replies that take as long as, and fail when, a test wants.
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
	var reply document
	err := s.call(ctx, "acquire", []string{a.lock}, func(now time.Time) {
		doc, ok := s.docs[a.lock]
		if !ok {
			doc = &document{ID: a.lock, V: schemaVersion}
			s.docs[a.lock] = doc
		}
		if doc.foreign == nil && doc.expire(now) {
			doc.Fence = max(doc.Fence+1, now.UnixMilli())
			doc.Grants++
			doc.Holders = []holder{{
				ID: a.holderID, Owner: a.owner, Mode: modeExclusive, Token: doc.Fence, Lease: a.leaseMS,
				AcquiredAt: now, ExpiresAt: now.Add(time.Duration(a.leaseMS) * time.Millisecond), Meta: a.meta,
			}}
			doc.record(EventAcquired, doc.Holders[0], now, now)
		}
		reply = doc.at(now)
	})
	if err != nil {
		return nil, err
	}
	return &reply, reply.foreign
}

func (s *fakeStore) renew(ctx context.Context, refs []grantRef) ([]fate, error) {
	locks := make([]string, len(refs))
	for i, r := range refs {
		locks[i] = r.lock
	}
	fates := make([]fate, len(refs))
	err := s.call(ctx, "renew", locks, func(now time.Time) {
		renewed := 0
		for i, r := range refs {
			h := s.holder(r)
			if h == nil || !h.ExpiresAt.After(now) {
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
			if fates[i] != fateGone && renewed == len(refs) {
				fates[i] = fateRenewed // counts tell of all or of none
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return fates, nil
}

func (s *fakeStore) release(ctx context.Context, ref grantRef) (bool, error) {
	found := false
	err := s.call(ctx, "release", []string{ref.lock}, func(now time.Time) {
		h := s.holder(ref)
		if h == nil {
			return
		}
		found = true
		ended := *h
		doc := s.docs[ref.lock]
		doc.Holders = nil
		if ended.ExpiresAt.After(now) {
			doc.record(EventReleased, ended, now, now)
		} else {
			doc.record(EventExpired, ended, ended.ExpiresAt, now)
		}
	})
	if err != nil {
		return false, err
	}
	return found, nil
}

func (s *fakeStore) sweep(ctx context.Context, after, before time.Time) (int64, error) {
	n := int64(0)
	err := s.call(ctx, "sweep", nil, func(now time.Time) {
		for _, doc := range s.docs {
			if len(doc.Holders) > 0 && doc.Holders[0].ExpiresAt.After(after) && !doc.Holders[0].ExpiresAt.After(before) && doc.expire(now) {
				n++
			}
		}
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (s *fakeStore) find(ctx context.Context, q query) ([]document, error) {
	var docs []document
	err := s.call(ctx, "find", q.ids, func(now time.Time) {
		for id, doc := range s.docs {
			skip := len(q.ids) > 0 && !slices.Contains(q.ids, id) || len(q.ids) == 0 && doc.foreign != nil ||
				!strings.HasPrefix(id, q.prefix) || q.after != "" && id <= q.after ||
				q.heldOnly && len(doc.Holders) == 0 || !q.changedAfter.IsZero() && !doc.ChangedAt.After(q.changedAfter)
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
	if doc == nil || len(doc.Holders) == 0 || doc.Holders[0].ID != ref.holderID {
		return nil
	}
	return &doc.Holders[0]
}

// expire records the end of a holder whose lease is over; it is false if a holder is live.
func (d *document) expire(now time.Time) bool {
	if len(d.Holders) == 0 {
		return true
	}
	h := d.Holders[0]
	if h.ExpiresAt.After(now) {
		return false
	}
	d.Holders = nil
	d.record(EventExpired, h, h.ExpiresAt, now)
	return true
}

// record adds to the ring.
func (d *document) record(what EventType, h holder, at, now time.Time) {
	d.Seq++
	d.ChangedAt = now
	d.Events = append(d.Events, event{Seq: d.Seq, Type: string(what), Owner: h.Owner, Token: h.Token, At: at})
	d.Events = d.Events[max(0, len(d.Events)-ringSize):]
}

// at is a copy of the document, as a reply at this time.
func (d *document) at(now time.Time) document {
	c := *d
	c.Now, c.Holders, c.Events = now, slices.Clone(d.Holders), slices.Clone(d.Events)
	return c
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
	c := newClient(t.Context(), settings, s, now)
	t.Cleanup(func() {
		s.intercept(nil)
		if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}
