/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

const (
	// bellBytes and bellDocuments are the size of the capped collection. Each listener that comes reads once, one by one, what it holds;
	// one that lags by more than that begins anew.
	bellBytes     = 1 << 20
	bellDocuments = 256
	// bellBatch is how long news that nobody waits for may be kept, to be sent in one message, and bellNews how many locks and waiters a
	// message names, which must fit the collection. If there are more, it says that anything may have changed.
	bellBatch = 50 * time.Millisecond
	bellNews  = 1000
	// bellTrust is for how long the collection is taken to be there still.
	bellTrust = time.Minute
	// bellLinger is for how long a listener outlives who needed it, as the next one often comes soon.
	bellLinger = 2 * time.Second
	// bellFarewell bounds what is sent while the client closes.
	bellFarewell = time.Second
	// minBellPause and maxBellPause bound the time between two tries to ring or to listen.
	minBellPause = 100 * time.Millisecond
	maxBellPause = 5 * time.Second
	// bellMark tells a message from a document that somebody else has put there.
	bellMark = "doorbell"
)

// doorbell is how clients tell each other that locks were changed: a capped collection into which each inserts a message after the
// change, and which those who wait or watch read by a tailable cursor. It is push, and it is only a hint: a message may come late,
// twice or never, and whoever gets one looks at the lock itself. Where the server has no such thing, nobody rings and nobody listens.
type doorbell struct {
	client *Client
	coll   *mongo.Collection // nil: no doorbell

	unsupported atomic.Bool              // the server or the collection is no doorbell
	ensured     atomic.Int64             // until when the collection is taken to be there, by the client's clock
	hearing     atomic.Pointer[listener] // who has heard a message of its own; nil: nobody

	urgent chan struct{} // somebody waits for what is in the backlog

	mu       sync.Mutex
	backlog  map[string][]string // to be sent: the waiters that have the lock now, by its id
	size     int                 // locks and waiters in the backlog
	all      bool                // to be sent: anything may have changed
	sending  bool
	users    int       // who wants to hear
	listener *listener // nil: none; it lingers when there are no users
	linger   *time.Timer
}

// news is one changed lock, and the ids of the waiters that have it now.
type news struct {
	Lock string   `bson:"lock"`
	To   []string `bson:"to,omitempty"`
}

// message is one ring of the bell.
type message struct {
	Mark string `bson:"mongolock"`
	News []news `bson:"news,omitempty"`
	// All: anything may have changed.
	All bool `bson:"all,omitempty"`
	// Hello is set in the message by which a listener finds out that it hears.
	Hello string `bson:"hello,omitempty"`
}

func newDoorbell(c *Client, coll *mongo.Collection) *doorbell {
	return &doorbell{client: c, coll: coll, urgent: make(chan struct{}, 1), backlog: map[string][]string{}}
}

// rings tells whether changes are heard of without looking.
func (b *doorbell) rings() bool { return b.hearing.Load() != nil }

func (b *doorbell) absent() bool { return b.coll == nil || b.unsupported.Load() }

// ring sends word of a change, in the background: at once if somebody was handed the lock, and otherwise together with what else
// happens meanwhile. The caller is a task of the client.
func (b *doorbell) ring(lock string, to []string) {
	if b.absent() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.size < bellNews {
		b.size += 1 + len(to)
		b.backlog[lock] = append(b.backlog[lock], to...)
	} else {
		b.all = true
	}
	b.startSending()
	if len(to) > 0 {
		select {
		case b.urgent <- struct{}{}:
		default:
		}
	}
}

// ringAll is ring for a change of locks that are not known.
func (b *doorbell) ringAll() {
	if b.absent() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = true
	b.startSending()
}

// startSending makes somebody send what is to be sent. The caller has the mutex.
func (b *doorbell) startSending() {
	if !b.sending {
		b.sending = true
		b.client.tasks.Go(b.send)
	}
}

// send sends until there is nothing more to send. What fails is made good by a message that anything may have changed; while the client
// closes there is no second try.
func (b *doorbell) send() {
	ctx, cancel := context.WithCancel(b.client.ctx)
	defer cancel()
	closing := b.client.closing
	defer context.AfterFunc(closing, func() { time.AfterFunc(bellFarewell, cancel) })()
	failures := 0
	for {
		b.gather(closing)
		m, ok := b.take()
		if !ok {
			return
		}
		err := b.ensure(ctx)
		if err == nil {
			err = b.insert(ctx, m)
		}
		switch {
		case err == nil:
			failures = 0
		case b.absent() || closing.Err() != nil:
		default:
			if failures++; failures == 1 {
				b.client.log.Info("Doorbell not rung: waiters and watchers elsewhere have to look", "reason", err.Error())
			}
			b.mu.Lock()
			b.all = true
			b.mu.Unlock()
			_ = pause(closing, bellPause(failures))
		}
	}
}

// gather lets news come together.
func (b *doorbell) gather(closing context.Context) {
	timer := time.NewTimer(bellBatch)
	defer timer.Stop()
	select {
	case <-b.urgent:
	case <-timer.C:
	case <-closing.Done():
	}
}

// take takes the backlog. If there is none it is false, and whoever sends must stop.
func (b *doorbell) take() (m message, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.urgent: // it is in this backlog
	default:
	}
	m = message{Mark: bellMark, All: b.all}
	for lock, to := range b.backlog {
		m.News = append(m.News, news{Lock: lock, To: to})
	}
	b.all, b.size = false, 0
	clear(b.backlog)
	b.sending = m.All || len(m.News) > 0
	return m, b.sending
}

func (b *doorbell) insert(ctx context.Context, m message) error {
	ctx, cancel := context.WithTimeout(outside(ctx), maxAttempt)
	defer cancel()
	_, err := b.coll.InsertOne(ctx, m)
	return classify("ring the doorbell", err)
}

// bellPause is the time to the next try after so many have failed.
func bellPause(failures int) time.Duration {
	return jitter(min(minBellPause<<min(failures-1, 10), maxBellPause))
}

// listen makes the client hear until as many calls of unlisten have followed. The caller is a task of the client.
func (b *doorbell) listen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.users++
	if b.linger != nil {
		b.linger.Stop()
		b.linger = nil
	}
	if b.listener == nil && !b.absent() {
		ctx, stop := context.WithCancel(b.client.closing)
		l := &listener{bell: b, stop: stop}
		b.listener = l
		b.client.tasks.Go(func() { l.run(ctx) })
	}
}

func (b *doorbell) unlisten() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.users--; b.users == 0 && b.listener != nil && b.client.closing.Err() == nil {
		b.linger = time.AfterFunc(bellLinger, b.leave)
	}
}

// leave ends a listener that nobody needs any more.
func (b *doorbell) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.users == 0 && b.listener != nil {
		b.listener.stop()
		b.listener = nil
	}
}

// deliver passes on what was heard.
func (b *doorbell) deliver(m message) {
	var locks []string
	for _, n := range m.News {
		b.client.lookout.handedOver(n.Lock, n.To)
		locks = append(locks, n.Lock)
	}
	if m.All {
		b.client.lookout.lookAgain()
		locks = nil
	}
	b.client.feed.rung(locks)
	b.client.awaits.rung(locks)
}
