/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/servers/servertest"
)

// Where there can be no doorbell, nobody rings, nothing is left behind, nothing that was there is touched, and waiters look.
func TestNoPush(t *testing.T) {
	for name, tc := range map[string]struct {
		uri    string // of the feed; empty: none
		exists bool   // the collection is there before, and not capped
		log    string
	}{
		"no feed":                              {"", false, ""},
		"server without capped collections":    {servertest.MongoDBURI(), false, "no capped collections"},
		"not capped, where nothing is":         {servertest.MongoDBURI(), true, "not capped"},
		"not capped, where it might have been": {servertest.FeedURI(), true, "not capped"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTestFeed(t)
			coll := f.driver.Database(f.database).Collection(DefaultCollection + "_feed")
			if tc.uri != "" {
				coll = f.driver.Database(f.database).Collection(feedName)
			}
			if tc.uri == servertest.FeedURI() {
				coll = f.coll
			}
			if tc.exists {
				if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "news", Value: "of somebody else"}}); err != nil {
					t.Fatal(err)
				}
			}
			pushes := !tc.exists && hasCapped(t, f) // the user's own server, by MONGODB_URI
			feed := WithFeed("", "", "")
			if tc.uri != "" {
				feed = WithFeed(tc.uri, f.database, feedName)
			}
			holder, waiter := f.client(t, feed), f.client(t, feed)
			held := mustLock(t, holder, "x")
			watcher := mustWatch(t, waiter, "y")
			w := waitInLine(t, waiter, "x", 1)
			mustUnlock(t, mustLock(t, holder, "y"))
			await(t, 2*time.Second, "the change", watcher.Changes())
			mustUnlock(t, held)
			mustUnlock(t, await(t, 2*time.Second, "the waiter is granted the lock", w.result))
			if tc.uri != "" && !pushes {
				eventually(t, 5*time.Second, "both know", func() bool { return holder.bell.absent() && waiter.bell.absent() })
			}
			watcher.Close()
			for _, c := range []*Client{holder, waiter} {
				if c.bell.absent() == pushes {
					t.Errorf("there is a doorbell: %t, want %t", !c.bell.absent(), pushes)
				}
				if err := c.Close(t.Context()); err != nil { // then nothing is on its way
					t.Error(err)
				}
			}
			if there, capped := capped(t, coll); there != (tc.exists || pushes) || capped != pushes {
				t.Errorf("afterwards the collection exists %t, capped %t", there, capped)
			}
			if pushes {
				return
			}
			if n, err := coll.CountDocuments(t.Context(), bson.D{}); err != nil || (n == 1) != tc.exists {
				t.Errorf("%d documents are left in the collection, %v", n, err)
			}
			if lines := f.logged(""); tc.uri == "" && len(lines) > 0 || len(lines) > 2 || len(f.logged(tc.log)) != len(lines) {
				t.Errorf("logged %q, want %q once for each client", lines, tc.log)
			}
		})
	}
}

// hasCapped tells whether the server of the locks has capped collections.
func hasCapped(t *testing.T, f *testFeed) bool {
	t.Helper()
	coll := f.driver.Database(f.database).Collection("capped")
	if _, err := (&doorbell{coll: coll}).createCapped(t.Context()); err != nil {
		return false
	}
	_, capped := capped(t, coll)
	return capped
}

func TestBadURIOfFeed(t *testing.T) {
	s := newTestServer(t)
	for _, uri := range []string{"mongodb://me:s3cret@host:port/", "http://me:s3cret@host/", "mongodb://me:s3cret@host/?w=-1", "s3cret"} {
		c, err := Connect(t.Context(), s.proxy.URI(), WithDatabase(s.database), WithFeed(uri, "", ""))
		if c != nil || !errors.Is(err, ErrInvalid) || strings.Contains(fmt.Sprintf("%v %+v", err, err), "s3cret") {
			t.Errorf("WithFeed: %v, want ErrInvalid without the password", err)
		}
	}
}

// The store of the feed fails while somebody waits and watches: both are served all the same, it is logged and no more, and push comes
// back by itself.
func TestFeedFails(t *testing.T) {
	for name, tc := range map[string]struct {
		fail func(*testing.T, *testFeed)
		heal bool
		most time.Duration // until a waiter and a watcher know
	}{
		"restart":    {func(t *testing.T, _ *testFeed) { restartFeed(t) }, false, 2 * time.Second},
		"refuses":    {func(_ *testing.T, f *testFeed) { f.bells.Refuse() }, true, 2 * time.Second},
		"black hole": {func(_ *testing.T, f *testFeed) { f.bells.Blackhole() }, true, refreshPeriod + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTestFeed(t)
			holder := f.client(t)
			own := startProxy(t, servertest.MongoDBURI())
			f.proxy = own
			waiter := f.client(t)
			watcher := mustWatch(t, waiter, "y")
			held := mustLock(t, holder, "x")
			w := waitInLine(t, waiter, "x", 1)
			awaitPush(t, waiter)
			tc.fail(t, f)
			mustUnlock(t, mustLock(t, holder, "y"))
			if change := await(t, tc.most, "the change is told", watcher.Changes()); change.Missed != 0 {
				t.Errorf("%+v", change)
			}
			mustUnlock(t, held)
			lease := await(t, tc.most, "the waiter is granted the lock", w.result)
			if err := watcher.Err(); err != nil {
				t.Errorf("Err of the watcher: %v", err)
			}
			mustUnlock(t, lease)
			if name == "black hole" {
				eventually(t, 2*bellSilence, "the silence is noticed", func() bool { return !waiter.bell.rings() })
			}
			if tc.heal {
				f.bells.Heal()
			}
			watcher.Close()
			pushed := false
			for range 4 {
				held = mustLock(t, holder, "x")
				lease, pushed = handOver(t, held, waiter, own)
				mustUnlock(t, lease)
				if pushed {
					break
				}
			}
			if _, capped := capped(t, f.coll); !pushed || !capped {
				t.Errorf("afterwards pushed %t, capped %t", pushed, capped)
			}
			if lines := f.logged(""); len(lines) > 6 || len(f.logged("interrupted")) > 0 {
				t.Errorf("logged %q", lines)
			}
		})
	}
}

func restartFeed(t *testing.T) {
	t.Helper()
	if err := servertest.Restart(t.Context(), servertest.Feed); err != nil {
		t.Fatal(err)
	}
}

// Who rings just after the feed was lost makes a collection that is not capped. Who listens next repairs that.
func TestFeedIsMadeAnew(t *testing.T) {
	f := newTestFeed(t)
	ringer, waiter := f.client(t), f.client(t)
	held := mustLock(t, ringer, "x")
	awaitRing(t, f)
	if err := f.coll.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustUnlock(t, mustLock(t, ringer, "y"))
	eventually(t, 5*time.Second, "the ring", func() bool { there, _ := capped(t, f.coll); return there })
	if _, capped := capped(t, f.coll); capped {
		t.Fatal("the test does not test")
	}
	w := waitInLine(t, waiter, "x", 1)
	awaitPush(t, waiter)
	if _, capped := capped(t, f.coll); !capped {
		t.Error("the feed was not made anew")
	}
	mustUnlock(t, held)
	mustUnlock(t, await(t, 8*time.Second, "the waiter is granted the lock", w.result))
}

// Clients that repair a feed at once, and others that ring meanwhile, do not take each other's doing for a server without capped collections.
func TestFeedIsMadeAnewByMany(t *testing.T) {
	ring := func(t *testing.T, coll *mongo.Collection) {
		t.Helper()
		if _, err := coll.InsertOne(t.Context(), message{Mark: bellMark, All: true}); err != nil {
			t.Fatal(err)
		}
	}
	drop := func(t *testing.T, coll *mongo.Collection) {
		t.Helper()
		if err := coll.Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		held      faultproxy.Fault
		meanwhile func(*testing.T, *mongo.Collection)
	}{
		"rung before it is made": {faultproxy.Fault{Kind: faultproxy.HoldRequest, Command: "create"}, ring},
		"dropped and rung after it was made": {faultproxy.Fault{Kind: faultproxy.HoldReply, Command: "create"}, func(t *testing.T, coll *mongo.Collection) {
			drop(t, coll)
			ring(t, coll)
		}},
		"dropped before it is looked into": {faultproxy.Fault{Kind: faultproxy.HoldRequest, Command: "find"}, drop},
		"made before it is looked into": {faultproxy.Fault{Kind: faultproxy.HoldRequest, Command: "find"}, func(t *testing.T, coll *mongo.Collection) {
			drop(t, coll)
			if _, err := (&doorbell{coll: coll}).createCapped(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTestFeed(t)
			c := f.client(t)
			ring(t, f.coll)
			held := f.bells.Inject(tc.held)
			w := mustWatch(t, c)
			await(t, 20*time.Second, "the listener looks after the feed", held.Fired())
			tc.meanwhile(t, f.coll)
			held.Release()
			eventually(t, 20*time.Second, "push works, or never will", func() bool { return c.bell.rings() || c.bell.absent() })
			if _, capped := capped(t, f.coll); c.bell.absent() || !capped {
				t.Errorf("afterwards there is no push: %t; capped: %t; logged %q", c.bell.absent(), capped, f.logged(""))
			}
			w.Close()
		})
	}
}

// A collection that is empty and not capped, such as somebody makes beforehand, is left alone, once, and not tried for ever.
func TestEmptyFeedIsLeftAlone(t *testing.T) {
	f := newTestFeed(t)
	c := f.client(t)
	if err := f.coll.Database().CreateCollection(t.Context(), f.coll.Name()); err != nil {
		t.Fatal(err)
	}
	if there, capped := capped(t, f.coll); !there || capped {
		t.Fatalf("the collection exists %t, capped %t: the test does not test", there, capped)
	}
	w := mustWatch(t, c)
	eventually(t, 20*time.Second, "it is given up", c.bell.absent)
	w.Close()
	if there, capped := capped(t, f.coll); !there || capped || len(f.logged("not capped")) != 1 {
		t.Errorf("the collection exists %t, capped %t; logged %q", there, capped, f.logged(""))
	}
}
