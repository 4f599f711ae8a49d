/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/servers/servertest"
)

// feedName is the collection of the tests' feeds.
const feedName = "bell"

// testFeed is a test server with a feed on the real feed store, which is reached through a proxy of its own.
type testFeed struct {
	*testServer
	bells *faultproxy.Proxy
	coll  *mongo.Collection // past the proxy

	mu  sync.Mutex
	log []string
}

func newTestFeed(t *testing.T) *testFeed {
	t.Helper()
	f := &testFeed{testServer: newTestServer(t), bells: startProxy(t, servertest.FeedURI())}
	driver, err := mongo.Connect(options.Client().ApplyURI(servertest.FeedURI()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := driver.Disconnect(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	f.coll = driver.Database(f.database).Collection(feedName)
	return f
}

func startProxy(t *testing.T, uri string) *faultproxy.Proxy {
	t.Helper()
	proxy, err := faultproxy.Start(uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	return proxy
}

// client has the feed. Its log is kept.
func (f *testFeed) client(t *testing.T, opts ...Option) *Client {
	t.Helper()
	log := funcr.New(func(_, line string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.log = append(f.log, line)
	}, funcr.Options{})
	opts = append([]Option{WithFeed(f.bells.URI(), f.database, feedName), WithLogger(log)}, opts...)
	c := f.testServer.client(t, opts...)
	t.Cleanup(f.bells.Reset) // before the client is closed
	return c
}

// logged returns the lines of the log that contain text.
func (f *testFeed) logged(text string) (lines []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.log {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// capped tells whether a collection is there, and capped.
func capped(t *testing.T, coll *mongo.Collection) (there, capped bool) {
	t.Helper()
	there, capped, err := (&doorbell{coll: coll}).inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return there, capped
}

func awaitPush(t *testing.T, c *Client) {
	t.Helper()
	eventually(t, 20*time.Second, "push works", c.bell.rings)
}

// awaitRest waits until a client has sent nothing through the proxy for a while but heartbeats.
func awaitRest(t *testing.T, proxy *faultproxy.Proxy) {
	t.Helper()
	sent, since := -1, time.Now()
	eventually(t, 20*time.Second, "the client rests", func() bool {
		if now := looks(proxy) + proxy.Commands()["findAndModify"]; now != sent {
			sent, since = now, time.Now()
		}
		return time.Since(since) > 200*time.Millisecond
	})
}

func looks(proxy *faultproxy.Proxy) int {
	commands := proxy.Commands()
	return commands["find"] + commands["aggregate"]
}

// handOver hands a held lock to a client that waits, and tells whether that knew it without looking.
func handOver(t *testing.T, held *Lease, to *Client, proxy *faultproxy.Proxy) (lease *Lease, pushed bool) {
	t.Helper()
	w := waitInLine(t, to, held.ID(), 1)
	awaitPush(t, to)
	awaitRest(t, proxy)
	before, start := looks(proxy), time.Now()
	mustUnlock(t, held)
	lease = await(t, 8*time.Second, "the waiter is granted the lock", w.result)
	return lease, looks(proxy) == before && time.Since(start) < time.Second
}

// A message tells the waiter that it has the lock now. The tests' feed store loses one now and then, so not every round must show it.
func TestPushHandsOver(t *testing.T) {
	f := newTestFeed(t)
	mine, own := f.proxy, startProxy(t, servertest.MongoDBURI())
	holder := f.client(t)
	f.proxy = own
	waiter := f.client(t)
	f.proxy = mine
	held := mustLock(t, holder, "x")
	const rounds = 8
	pushes := 0
	for range rounds {
		lease, pushed := handOver(t, held, waiter, own)
		if pushed {
			pushes++
		}
		mustUnlock(t, lease)
		held = mustLock(t, holder, "x")
	}
	if pushes < rounds-2 {
		t.Errorf("%d of %d locks were handed over by a message", pushes, rounds)
	}
	mustUnlock(t, held)
	if lines := f.logged(""); len(lines) > 0 {
		t.Errorf("logged %q", lines)
	}
}

// Watchers are told by a message, do not look in between, and nobody but the doorbell needs to be told of the feed.
func TestPushTellsWatchers(t *testing.T) {
	f := newTestFeed(t)
	own := startProxy(t, servertest.MongoDBURI())
	holder, stranger := f.client(t), f.testServer.client(t)
	f.proxy = own
	watching := f.client(t)
	w := mustWatch(t, watching)
	awaitPush(t, watching)
	mustUnlock(t, mustLock(t, holder, "x"))
	const rounds = 10
	quick := 0
	seq := int64(0)
	told := func(until int64) (took time.Duration) {
		start := time.Now()
		for seq < until {
			change := await(t, 8*time.Second, "the change", w.Changes())
			for _, e := range change.Events {
				if seq++; e.Seq != seq {
					t.Fatalf("event %d, want %d", e.Seq, seq)
				}
			}
			seq = max(seq, change.State.Seq) // of the baseline
		}
		return time.Since(start)
	}
	told(2)
	for i := range int64(rounds) {
		awaitRest(t, own)
		before := looks(own)
		mustUnlock(t, mustLock(t, holder, "x"))
		if told(4+2*i) < readPeriod/2 && looks(own) <= before+3 { // one for each event, and a sweep
			quick++
		}
	}
	if quick < rounds-3 {
		t.Errorf("%d of %d changes were told by a message", quick, rounds)
	}
	mustUnlock(t, mustLock(t, stranger, "x"))
	if took := told(seq + 2); took > pushedPeriod+time.Second {
		t.Errorf("a change that nobody rang for was told after %s", took)
	}
	w.Close()
}

// Messages, periodic looks and looks for a message overlap, and yet each event is told once and in order.
func TestPushTellsEachEventOnce(t *testing.T) {
	f := newTestFeed(t)
	a, b, watching := f.client(t), f.client(t), f.client(t)
	w := mustWatch(t, watching)
	awaitPush(t, watching)
	var work sync.WaitGroup
	const locks, cycles = 5, 20 // 200 transitions
	for i := range locks {
		work.Go(func() {
			for n := range cycles {
				lease, err := []*Client{a, b}[n%2].Lock(t.Context(), fmt.Sprint(i))
				if err == nil {
					err = lease.Unlock(t.Context())
				}
				if err != nil {
					t.Error(err)
				}
				watching.feed.rung(nil)
			}
		})
	}
	seq, told := map[string]int64{}, int64(0)
	for told < 2*locks*cycles {
		change := await(t, 10*time.Second, "all events", w.Changes())
		id := change.State.ID
		if seq[id] == 0 && len(change.Events) == 0 { // it was there when the watch began
			seq[id] = change.State.Seq
			told += change.State.Seq
		}
		seq[id] += change.Missed
		told += change.Missed
		for _, e := range change.Events {
			if seq[id]++; e.Seq != seq[id] {
				t.Fatalf("event %d of %s, want %d", e.Seq, id, seq[id])
			}
			told++
		}
	}
	work.Wait()
	select {
	case change := <-w.Changes():
		if len(change.Events) > 0 {
			t.Errorf("more was told than happened: %+v", change)
		}
	case <-time.After(2 * readPeriod):
	}
}
