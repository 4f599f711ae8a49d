/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// readPeriod is the time between two looks at what changed, and pushedPeriod if the doorbell tells; sweepPeriod is that between two
	// searches for leases that ended unnoticed.
	readPeriod   = 500 * time.Millisecond
	pushedPeriod = 5 * time.Second
	sweepPeriod  = time.Second
	// gatherTime is for how long news are gathered before they are looked at together.
	gatherTime = 10 * time.Millisecond
	// maxReadPause is the longest time between two looks while they fail.
	maxReadPause = 2 * time.Second
	// overlap is how far each look and each sweep reaches back behind the last one: changes become visible later than they are
	// stamped, and not in the order of their stamps.
	overlap = 2 * time.Second
	// resyncPeriod is the time between two looks at everything, which find deleted documents and repair what the stamps hid.
	resyncPeriod = 30 * time.Second
)

// reader polls the store on behalf of a feed. It works on every server; where the doorbell rings it looks at once at what has changed,
// and seldom otherwise. Nothing but its goroutine touches its fields from known on.
type reader struct {
	feed   *feed
	client *Client
	stop   context.CancelFunc
	nudge  chan struct{}

	mu    sync.Mutex
	asked bool                // to look at what changed, without waiting for the period
	news  map[string]struct{} // locks to look at, as the doorbell rang for them

	known  map[string]mark // by lock id
	latest time.Time       // the last change seen by a look at all that changed, by the server's clock
	// serverNow is the server's time of the last read that found anything, readAt when that was by the client's clock.
	serverNow time.Time
	readAt    time.Duration
	joined    int64 // the last look at everything was made for the watchers up to this number
	resyncAt  time.Duration
	lookAt    time.Duration // when to look at what changed

	sweepAt time.Duration
	swept   time.Time // leases that ended before were swept; zero: not known, sweep from the beginning
	trouble error     // why the last sweep failed
}

// look is what one read found.
type look struct {
	complete bool    // everything in scope was read
	wide     bool    // everything that changed was read
	joined   int64   // the scope was that of the watchers up to this number
	awaited  bool    // some of them are told of everything
	states   []State // all that was read, if that is awaited
	changes  []Change
}

// hurry makes the reader look again without waiting for its period.
func (r *reader) hurry() {
	r.mu.Lock()
	r.asked = true
	r.mu.Unlock()
	r.wake()
}

// look makes the reader look at these locks soon.
func (r *reader) look(locks []string) {
	r.mu.Lock()
	for _, lock := range locks {
		r.news[lock] = struct{}{}
	}
	r.mu.Unlock()
	r.wake()
}

func (r *reader) wake() {
	select {
	case r.nudge <- struct{}{}:
	default:
	}
}

func (r *reader) takeNews() (asked bool, news []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked, news = r.asked, slices.Collect(maps.Keys(r.news))
	r.asked = false
	clear(r.news)
	return asked, news
}

// askAgain is for when a read has failed: what was asked for is still to be done. In a long outage that becomes a look at everything, as
// names pile up and must fit a command.
func (r *reader) askAgain(news []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = true
	for _, lock := range news {
		r.news[lock] = struct{}{}
	}
	if len(r.news) > bellNews {
		clear(r.news)
		r.resyncAt = 0
	}
}

func (r *reader) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	wait := readPeriod
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-r.nudge:
			if r.client.bell.rings() {
				_ = pause(ctx, gatherTime)
			}
		}
		err := r.step(ctx)
		if ctx.Err() != nil {
			return
		}
		r.feed.report(r, err)
		wait = min(2*wait, maxReadPause)
		if err == nil {
			wait = readPeriod
		}
		timer.Reset(wait)
	}
}

// step reads, tells what it saw, and sweeps if it is time to.
func (r *reader) step(ctx context.Context) error {
	if err := r.client.ready(ctx); err != nil {
		return err
	}
	now := r.client.now()
	ids, joined := r.feed.scope()
	asked, news := r.takeNews()
	l := look{joined: joined, awaited: joined != r.joined}
	l.complete = l.awaited || now >= r.resyncAt || r.serverNow.IsZero()
	l.wide = l.complete || asked || now >= r.lookAt
	docs, err := r.read(ctx, ids, news, l)
	if err != nil {
		r.askAgain(news)
		return err
	}
	if l.wide {
		r.lookAt = now + r.period()
	}
	if l.complete {
		r.joined, r.resyncAt = joined, now+resyncPeriod
	}
	r.compare(docs, &l)
	r.feed.deliver(r, l)
	if now >= r.sweepAt && !r.serverNow.IsZero() {
		r.sweepAt = now + sweepPeriod
		r.trouble = r.sweep(ctx, l.complete)
	}
	return r.trouble
}

// period is the time between two looks at what changed.
func (r *reader) period() time.Duration {
	if r.client.bell.rings() {
		return pushedPeriod
	}
	return readPeriod
}

// read reads everything page by page, or only what changed lately, or only what the doorbell rang for.
func (r *reader) read(ctx context.Context, ids, news []string, l look) ([]document, error) {
	if !l.wide {
		return r.readNews(ctx, ids, news)
	}
	q := query{ids: ids}
	if !l.complete {
		// After a failover to a clock behind, the last change seen lies ahead.
		from := r.latest
		if now := r.estimate(); now.Before(from) {
			from = now
		}
		q.changedAfter = from.Add(-overlap)
		docs, err := r.client.readAttempt(ctx, q)
		if err != nil {
			return nil, err
		}
		named, err := r.readNews(ctx, ids, news) // their stamps may be older
		return append(docs, named...), err
	}
	q.limit = listPage
	var all []document
	for {
		docs, err := r.client.readAttempt(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, docs...)
		if len(docs) < listPage {
			return all, nil
		}
		q.after = docs[len(docs)-1].ID
	}
}

// readNews reads those of the named locks that are in scope.
func (r *reader) readNews(ctx context.Context, ids, news []string) ([]document, error) {
	if len(ids) > 0 {
		news = slices.DeleteFunc(slices.Clone(news), func(lock string) bool { return !slices.Contains(ids, lock) })
	}
	if len(news) == 0 {
		return nil, nil
	}
	return r.client.readAttempt(ctx, query{ids: news})
}

// estimate is about what the server's clock shows now. It serves to preselect; what a lease's end is, the server decides.
func (r *reader) estimate() time.Time { return r.serverNow.Add(r.client.now() - r.readAt) }

// sweep turns leases that ended unnoticed since the last sweep into events; with every complete look, also earlier ones.
func (r *reader) sweep(ctx context.Context, complete bool) error {
	ctx, cancel := context.WithTimeout(ctx, maxAttempt)
	defer cancel()
	var after time.Time
	if !complete && !r.swept.IsZero() {
		after = r.swept.Add(-overlap)
	}
	before := r.estimate()
	n, err := r.client.store.sweep(ctx, after, before)
	if err != nil {
		r.swept = time.Time{}
		return err
	}
	r.swept = before
	if n > 0 {
		r.hurry()
		r.client.bell.ringAll() // other watchers sweep too, and find nothing any more
	}
	return nil
}
