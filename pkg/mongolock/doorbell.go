/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

const (
	// bellBytes and bellDocuments are the size of the capped collection. What it holds is read once by each listener that comes.
	bellBytes     = 1 << 20
	bellDocuments = 4096
	// bellAwait is how long the server holds a request for new messages, bellSilence after how long a request without an answer is
	// given up.
	bellAwait   = time.Second
	bellSilence = 10 * time.Second
	// bellBatch is how long news that nobody waits for may be kept, to be sent in one message, and bellNews how much a message holds.
	bellBatch = 50 * time.Millisecond
	bellNews  = 500
	// minBellPause and maxBellPause bound the time between two tries to listen.
	minBellPause = 100 * time.Millisecond
	maxBellPause = 10 * time.Second
)

// doorbell is how clients tell each other that locks were changed: a capped collection into which each inserts a message after the
// change, and which those who wait or watch read by a tailable cursor. It is push, and it is only a hint: a message may come late,
// twice or never, and whoever gets one looks at the lock itself. Where the server has no such thing, nobody rings and nobody listens.
type doorbell struct {
	client *Client
	coll   *mongo.Collection // nil: no doorbell

	ensured     atomic.Bool // the collection is there
	unsupported atomic.Bool // there can be none
	works       atomic.Bool // a message of our own has come back

	mu      sync.Mutex
	backlog []news // to be sent
	urgent  chan struct{}
	sending bool
	users   int                // who wants to hear
	stop    context.CancelFunc // ends the listener
}

// news is one changed lock, and the ids of the waiters that have it now.
type news struct {
	Lock string   `bson:"lock"`
	To   []string `bson:"to,omitempty"`
}

// message is one ring of the bell.
type message struct {
	News []news `bson:"news,omitempty"`
	// All: anything may have changed.
	All bool `bson:"all,omitempty"`
	// Hello is set in the message by which a listener finds out that it hears.
	Hello string `bson:"hello,omitempty"`
}

func newDoorbell(c *Client, coll *mongo.Collection) *doorbell {
	return &doorbell{client: c, coll: coll, urgent: make(chan struct{}, 1)}
}

// rings tells whether changes are heard of without looking.
func (b *doorbell) rings() bool { return b.works.Load() }

func (b *doorbell) absent() bool { return b.coll == nil || b.unsupported.Load() }

// ring sends word of a change, in the background: at once if somebody was handed the lock, and otherwise together with what else
// happens meanwhile. The caller is a task of the client.
func (b *doorbell) ring(lock string, to []string) {
	if b.absent() {
		return
	}
	b.add(news{Lock: lock, To: to})
}

// ringAll is ring for a change of locks that are not known.
func (b *doorbell) ringAll() {
	if !b.absent() {
		b.add(news{})
	}
}

func (b *doorbell) add(n news) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backlog = append(b.backlog, n)
	if len(n.To) > 0 {
		select {
		case b.urgent <- struct{}{}:
		default:
		}
	}
	if !b.sending {
		b.sending = true
		b.client.tasks.Go(func() { b.send(b.client.ctx) })
	}
}

// send empties the backlog.
func (b *doorbell) send(ctx context.Context) {
	for {
		timer := time.NewTimer(bellBatch)
		select {
		case <-b.urgent:
		case <-timer.C:
		case <-b.client.closing.Done():
		}
		timer.Stop()
		b.mu.Lock()
		batch := b.backlog
		b.backlog = nil
		if len(batch) == 0 {
			b.sending = false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		m := message{News: batch}
		if len(batch) > bellNews || slices.ContainsFunc(batch, func(n news) bool { return n.Lock == "" }) {
			m.All = true
			m.News = slices.DeleteFunc(batch, func(n news) bool { return len(n.To) == 0 })
		}
		err := b.ensure(ctx)
		if err == nil {
			err = b.insert(ctx, m)
		}
		if err != nil && !b.absent() {
			b.client.log.V(1).Info("Doorbell not rung: waiters and watchers elsewhere have to look", "reason", err.Error())
		}
	}
}

func (b *doorbell) insert(ctx context.Context, m message) error {
	ctx, cancel := context.WithTimeout(outside(ctx), maxAttempt)
	defer cancel()
	_, err := b.coll.InsertOne(ctx, m)
	return classify("ring the doorbell", err)
}

// listen makes the client hear until as many calls of unlisten have followed. The caller is a task of the client.
func (b *doorbell) listen() {
	if b.absent() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.users++
	if b.stop == nil {
		ctx, stop := context.WithCancel(b.client.closing)
		b.stop = stop
		b.client.tasks.Go(func() { b.hear(ctx) })
	}
}

func (b *doorbell) unlisten() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.users = max(0, b.users-1); b.users == 0 && b.stop != nil {
		b.stop()
		b.stop = nil
	}
}
