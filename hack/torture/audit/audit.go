//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package audit looks at the locks' documents as they are stored, past the faults and past mongolock, and records what changed from
// one look to the next.
package audit

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/torture/history"
)

const (
	period = 100 * time.Millisecond
	// timeout bounds a look. A server that has just come back is slow, so others begin while one is under way: it may take a while, but
	// not the time in which a document has forgotten events.
	timeout = 2 * time.Second
	// atOnce is how many looks may be under way.
	atOnce = 10
)

// Auditor looks at the documents of some locks.
type Auditor struct {
	history *history.Writer
	locks   map[*mongo.Collection][]string

	mu    sync.Mutex // held over what was seen, and over whatever must not happen during a look
	seen  map[string]*seen
	epoch int // changes when looks that have begun are not to count
}

// seen is what the last look at a lock saw.
type seen struct {
	from    history.Stamp
	to      history.Stamp
	now     time.Time // by the server's clock; zero when there was no document
	raw     bson.Raw  // as stored; nil when there was no document
	state   *state    // nil when there was none, or none of a lock
	waiting bool      // live waiters stood before a lock that nobody held
}

// New makes an auditor of the locks in each collection.
func New(h *history.Writer, locks map[*mongo.Collection][]string) *Auditor {
	a := &Auditor{history: h, locks: locks, seen: map[string]*seen{}}
	for _, names := range locks {
		for _, name := range names {
			a.seen[name] = &seen{}
		}
	}
	return a
}

// Run looks until ctx ends.
func (a *Auditor) Run(ctx context.Context) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	var looks sync.WaitGroup
	defer looks.Wait()
	free := make(chan struct{}, atOnce)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case free <- struct{}{}:
			looks.Go(func() {
				a.Look(ctx)
				<-free
			})
		default: // the database is down
		}
	}
}

// Look looks once at all locks.
func (a *Auditor) Look(ctx context.Context) {
	for collection, names := range a.locks {
		a.mu.Lock()
		epoch := a.epoch
		a.mu.Unlock()
		from := history.Now()
		found, err := read(ctx, collection, names)
		if err != nil {
			continue // the database is down: what changes meanwhile is seen later
		}
		to := history.Now()
		a.mu.Lock()
		for _, name := range names {
			switch {
			case epoch != a.epoch:
			case a.seen[name].precedes(found[name], from):
				a.observe(name, found[name], from, to)
			default:
				a.tell(name, found[name], to)
			}
		}
		a.mu.Unlock()
	}
}

// precedes tells whether a look that began at that time is the later one of the two: it began after the end of this one, or the server
// has stamped it later and it does not know less. The server stamps a command when it begins, and may read in another order.
func (s *seen) precedes(document bson.Raw, from history.Stamp) bool {
	if from > s.to {
		return true
	}
	later := from > s.from && !s.now.IsZero() && stamped(document).After(s.now)
	known, knows := s.state, parse(document)
	return later && (known == nil || knows == nil || knows.State.Seq >= known.State.Seq)
}

// stamped is the server's time of a document that was read by a look; zero for others.
func stamped(document bson.Raw) time.Time {
	if document == nil {
		return time.Time{}
	}
	now, _ := document.Lookup("now").TimeOK()
	return now
}

// tell records the events of a look that may be older than the last one, as a watcher's: among them may be some that the last one has not
// seen any more.
func (a *Auditor) tell(lock string, document bson.Raw, at history.Stamp) {
	if s := parse(document); s != nil {
		a.history.Write(history.Record{Change: &history.Change{
			Watcher: "auditor", Lock: lock, At: at, Exists: true, Seq: s.State.Seq, Events: s.State.Events,
		}})
	}
}

// Between runs f, which may change documents. What f takes from the database it hands to the function that it gets, so that nothing is
// missed: the document of a lock as it was, at some time since f began. Looks that began before that do not count.
func (a *Auditor) Between(f func(observe func(lock string, document bson.Raw)) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	from := history.Now()
	return f(func(lock string, document bson.Raw) {
		a.epoch++ // not when f has changed nothing: it is often tried, and would make the auditor blind
		a.observe(lock, document, from, history.Now())
	})
}

func read(ctx context.Context, collection *mongo.Collection, names []string) (map[string]bson.Raw, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cursor, err := collection.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: names}}}},
		options.Find().SetProjection(bson.D{{Key: "v", Value: 1}, {Key: "state", Value: 1}, {Key: "now", Value: "$$NOW"}}))
	if err != nil {
		return nil, err
	}
	var documents []bson.Raw
	if err := cursor.All(ctx, &documents); err != nil {
		return nil, err
	}
	found := map[string]bson.Raw{}
	for _, document := range documents {
		name, ok := document.Lookup("_id").StringValueOK()
		if !ok {
			return nil, errors.New("a document without a name")
		}
		found[name] = document
	}
	return found, nil
}

// observe records a look if it tells anything new. document is nil when there is none.
func (a *Auditor) observe(lock string, document bson.Raw, from, to history.Stamp) {
	last := a.seen[lock]
	now := &seen{from: from, to: to, now: stamped(document), state: parse(document)}
	if document != nil {
		now.raw = document.Lookup("state").Value
	}
	look := history.Look{Lock: lock, Before: last.from, From: from, To: to}
	switch {
	case now.state != nil:
		if now.state.Now.IsZero() && last.state != nil { // not read by a look: it was not earlier than the last one
			now.state.Now = last.state.Now
		}
		now.waiting = now.state.waiting()
		now.state.fill(&look, last)
	case document != nil:
		now.state = last.state // no lock for now, but it will be put back
	}
	a.seen[lock] = now
	if !bytes.Equal(now.raw, last.raw) || now.waiting || last.waiting {
		a.history.Write(history.Record{Look: &look})
	}
}
