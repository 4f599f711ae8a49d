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
	"time"
)

const (
	// minLook and maxLook bound the time between two looks of the waiter who is next.
	minLook = 10 * time.Millisecond
	maxLook = 250 * time.Millisecond
	// lookPerPlace is added for each other waiter before: nothing can happen to this one earlier.
	lookPerPlace = 25 * time.Millisecond
	// maxFarLook is the longest time between two looks, of those at the end of a long queue, and of all while the doorbell rings.
	// Together with a look that hangs it must leave time to confirm a hand-over: a message may be lost.
	maxFarLook = confirmTime / 2
	// lookTimeout bounds one look.
	lookTimeout = confirmTime / 4
	// stagger is how much later each further waiter takes care of a lease that ended, if the one before it did not.
	stagger = 200 * time.Millisecond
)

// lookout watches the locks that a client waits for, and wakes the waiter when it is to ask the server: the lock was handed over to
// it, or the lease of a holder ended. If the doorbell rings for such things it has little to do. Without, it looks at the locks by one
// read for all that are due. The next waiter of a lock is in a hurry at first and less and less so: it looks after a hundredth of the
// time that it has been the next, which adds half of that to its wait, and takes the load off a server on whose locks people
// wait for long. It has one goroutine, only while anybody waits.
type lookout struct {
	client *Client
	nudge  chan struct{}

	mu      sync.Mutex
	waits   map[string]*wait // by lock id: of each line only the first waits here
	running bool
}

func newLookout(c *Client) *lookout {
	return &lookout{client: c, nudge: make(chan struct{}, 1), waits: map[string]*wait{}}
}

// add makes the lookout watch for a waiter. The caller is a task of the client.
func (l *lookout) add(ref grantRef) *wait {
	now := l.client.now()
	w := &wait{ref: ref, wake: make(chan struct{}, 1), since: now, next: now + maxFarLook}
	l.client.bell.listen()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits[ref.lock] = w
	if !l.running {
		l.running = true
		l.client.tasks.Go(func() { l.run(l.client.closing) })
	}
	return w
}

func (l *lookout) remove(w *wait) {
	l.mu.Lock()
	delete(l.waits, w.ref.lock)
	idle := len(l.waits) == 0
	l.mu.Unlock()
	l.client.bell.unlisten()
	if idle {
		l.hurry()
	}
}

// waitsFor tells whether anybody of this client stands in the lock's queue.
func (l *lookout) waitsFor(lock string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waits[lock] != nil
}

func (l *lookout) hurry() {
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}

// run looks until nobody waits any more.
func (l *lookout) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failures := 0
	for {
		due, sleep, ok := l.due()
		if !ok {
			return
		}
		if len(due) > 0 {
			if err := l.look(ctx, due); err != nil {
				if failures++; failures == 1 && ctx.Err() == nil {
					l.client.log.Info("Waiting for locks without being able to look at them", "reason", err.Error())
				}
				l.postpone(due, min(retryPause(MaxLease)<<min(failures, 6), maxLook))
			} else {
				failures = 0
			}
			continue
		}
		timer.Reset(sleep)
		select {
		case <-ctx.Done():
			l.mu.Lock()
			l.running = false
			l.mu.Unlock()
			return
		case <-l.nudge:
		case <-timer.C:
		}
	}
}

// due are the locks to look at now, together with those that soon will be, and otherwise how long that is from now. It is false, and
// the lookout has stopped, if nobody waits.
func (l *lookout) due() (locks []string, sleep time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waits) == 0 || l.client.closing.Err() != nil {
		l.running = false
		return nil, 0, false
	}
	now := l.client.now()
	first := time.Duration(1<<63 - 1)
	for lock, w := range l.waits {
		first = min(first, w.next)
		if w.next <= now+minLook/2 {
			locks = append(locks, lock)
		}
	}
	if first > now {
		return nil, first - now, true
	}
	return locks, 0, true
}

func (l *lookout) postpone(locks []string, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lock := range locks {
		if w := l.waits[lock]; w != nil {
			w.next = l.client.now() + d
		}
	}
}

// look reads the locks, a page at a time.
func (l *lookout) look(ctx context.Context, locks []string) error {
	for page := range slices.Chunk(locks, listPage) {
		before := l.news(page)
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		seen, err := l.client.store.glance(ctx, page)
		cancel()
		if err != nil {
			return err
		}
		l.postpone(page, maxFarLook) // those that have no document any more
		l.mu.Lock()
		for i := range seen {
			w := l.waits[seen[i].ID]
			if w == nil {
				continue
			}
			l.compare(w, &seen[i])
			if w.news != before[w.ref.lock] { // it came while this was read
				w.next = l.client.now()
			}
		}
		l.mu.Unlock()
	}
	return nil
}

// news is how often each of these was told to look.
func (l *lookout) news(locks []string) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	news := make(map[string]int, len(locks))
	for _, lock := range locks {
		if w := l.waits[lock]; w != nil {
			news[lock] = w.news
		}
	}
	return news
}

// compare wakes the waiter if it has something to do, and otherwise plans the next look. The caller has the mutex.
func (l *lookout) compare(w *wait, g *glimpse) {
	now := l.client.now()
	held := len(g.State.Holders) > 0
	ended := !held && (w.held || !g.State.ChangedAt.Equal(w.changedAt))
	w.ends = 0
	for _, h := range g.State.Holders {
		if h.ID == w.ref.holderID {
			l.wake(w)
			return
		}
		left := untilEnd(h.ExpiresAt, g.Now)
		ended = ended || left+time.Duration(w.place)*stagger <= 0
		if w.ends == 0 || now+left < w.ends {
			w.ends = now + left
		}
	}
	place := slices.Index(g.Head, w.ref.holderID)
	if place < 0 { // far behind, or not in the queue any more: then the next refresh takes a place again
		place = max(len(g.Head), w.place-int(g.State.Grants-w.grants))
	}
	l.move(w, place, g.State.Grants)
	if ended {
		l.wake(w)
		return
	}
	l.plan(w)
}

// saw tells what the server answered when the waiter asked.
func (l *lookout) saw(w *wait, doc *document) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.changedAt, w.held, w.ends = doc.State.ChangedAt, len(doc.State.Holders) > 0, 0
	for _, h := range doc.State.Holders {
		if ends := l.client.now() + untilEnd(h.ExpiresAt, doc.Now); w.ends == 0 || ends < w.ends {
			w.ends = ends
		}
	}
	l.move(w, doc.Place, doc.State.Grants)
	l.plan(w)
	l.hurry()
}

func (l *lookout) move(w *wait, place int, grants int64) {
	if place != w.place {
		w.since = l.client.now()
	}
	w.place, w.grants = place, grants
}

// plan sets the time of the next look.
func (l *lookout) plan(w *wait) {
	now := l.client.now()
	wait := min(max((now-w.since)/100, minLook), maxLook)
	wait = min(max(wait, time.Duration(w.place)*lookPerPlace), maxFarLook)
	if l.client.bell.rings() {
		wait = maxFarLook
	}
	if w.ends > 0 {
		wait = min(wait, max(w.ends-now+time.Duration(w.place)*stagger+jitter(10*time.Millisecond), minLook))
	}
	w.next = now + wait
}

// wake lets the waiter ask the server. Its answer plans the next look.
func (l *lookout) wake(w *wait) {
	w.next = l.client.now() + maxFarLook
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// handedOver tells that a lock was changed, and which waiters have it now. Of the others, the next ones look when the lease ends that
// these have until they confirm.
func (l *lookout) handedOver(lock string, to []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.waits[lock]
	if w == nil {
		return
	}
	if slices.Contains(to, w.ref.holderID) {
		l.wake(w)
		return
	}
	if w.place <= len(to)+1 {
		w.next = min(w.next, l.client.now()+jitter(2*minLook))
		w.news++
		l.hurry()
	}
}

// lookAgain makes the lookout look at everything: a message may have been lost.
func (l *lookout) lookAgain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.waits {
		w.next = l.client.now()
		w.news++
	}
	l.hurry()
}
