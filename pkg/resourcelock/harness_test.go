/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// The shortest timings that the package accepts, so that the tests do not wait long.
const (
	testLease         = MinLeaseDuration
	testRenewDeadline = 1300 * time.Millisecond
	testRetryPeriod   = 300 * time.Millisecond
	testNamespace     = "default"
	testName          = "leader"
	testID            = testNamespace + "/" + testName
	// longestRetry is how long an elector sleeps at most between two tries to be elected.
	longestRetry = time.Duration((1 + leaderelection.JitterFactor) * float64(testRetryPeriod))
	// slow is what a loaded machine may add to anything.
	slow = 2 * time.Second
)

// store is a database of one test's own.
type store struct {
	t        *testing.T
	database string
	shared   *mongolock.Client // of all locks of a migration
}

// newStore lets the test run beside others: most of their time is waiting.
func newStore(t *testing.T) *store {
	t.Helper()
	t.Parallel()
	return &store{t: t, database: servertest.Database(t)}
}

func (s *store) connect(uri string, opts ...mongolock.Option) *mongolock.Client {
	s.t.Helper()
	client, err := mongolock.Connect(s.t.Context(), uri, append(opts, mongolock.WithDatabase(s.database))...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.Close(ctx) // with a fault still in place it cannot release
	})
	return client
}

func (s *store) client() *mongolock.Client { return s.connect(servertest.MongoDBURI()) }

// proxied is a client whose connections can be made to fail.
func (s *store) proxied() (*mongolock.Client, *faultproxy.Proxy) {
	s.t.Helper()
	proxy, err := faultproxy.Start(servertest.MongoDBURI())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(proxy.Close)
	return s.connect(proxy.URI()), proxy
}

// state is the truth: the server's view of the test's lock.
func (s *store) state(client *mongolock.Client) mongolock.State {
	s.t.Helper()
	state, err := client.Get(s.t.Context(), testID)
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

// delete removes the lock's document, as an administrator might.
func (s *store) delete() {
	s.t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI()))
	if err != nil {
		s.t.Fatal(err)
	}
	locks := client.Database(s.database).Collection(mongolock.DefaultCollection)
	result, err := locks.DeleteOne(s.t.Context(), bson.D{{Key: "_id", Value: testID}})
	if err := errors.Join(err, client.Disconnect(s.t.Context())); err != nil || result.DeletedCount != 1 {
		s.t.Fatalf("delete: %v, %v", result, err)
	}
}

func newLock(t *testing.T, client *mongolock.Client, identity string) *Lock {
	t.Helper()
	lock, err := New(client, Config{Namespace: testNamespace, Name: testName, Identity: identity, LeaseDuration: testLease})
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

// record is what an elector with this identity asks for.
func record(identity string) rl.LeaderElectionRecord {
	now := metav1.Now()
	return rl.LeaderElectionRecord{HolderIdentity: identity, LeaseDurationSeconds: int(testLease / time.Second), AcquireTime: now, RenewTime: now}
}

// releaseRecord is what an elector sends to give leadership up.
func releaseRecord() rl.LeaderElectionRecord { return rl.LeaderElectionRecord{LeaseDurationSeconds: 1} }

// lead makes the lock hold leadership as an elector would.
func lead(t *testing.T, lock *Lock) int64 {
	t.Helper()
	_, _, err := lock.Get(t.Context())
	if err == nil {
		err = lock.Update(t.Context(), record(lock.Identity()))
	} else {
		err = lock.Create(t.Context(), record(lock.Identity()))
	}
	if err != nil {
		t.Fatal(err)
	}
	lock.RecordEvent(becameLeader)
	token, ok := lock.Token()
	if !ok {
		t.Fatal("no token after the election")
	}
	return token
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// within fails the test unless the channel is closed in time, and returns how long that took.
func within(t *testing.T, limit time.Duration, c <-chan struct{}, what string) time.Duration {
	t.Helper()
	begin := time.Now()
	select {
	case <-c:
		return time.Since(begin)
	case <-time.After(limit):
		t.Fatalf("%s: not within %s", what, limit)
		return 0
	}
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

// waitExpired waits until the server considers the lock free.
func (s *store) waitExpired(client *mongolock.Client) {
	s.t.Helper()
	eventually(s.t, testLease+slow, "expiry", func() bool { return !s.state(client).Held() })
}

// candidate runs a real elector of client-go on a lock.
type candidate struct {
	lock    rl.Interface
	cancel  context.CancelFunc
	elected chan struct{} // closed when the work begins
	stopped chan struct{} // closed when the work has to stop
	// electedAt and stoppedAt are when that was; they are there once the channel is closed.
	electedAt, stoppedAt time.Time
	done                 chan struct{} // closed when Run has returned

	mu     sync.Mutex
	terms  int
	seen   []string // identities reported by OnNewLeader
	ops    []string // calls of the lock, in order
	events []string // what RecordEvent was told
}

// run starts an elector. It is stopped at the end of the test at the latest.
func run(t *testing.T, lock rl.Interface, release bool) *candidate {
	t.Helper()
	ctx, cancel := context.WithCancel(logr.NewContext(t.Context(), testr.New(t)))
	c := &candidate{
		lock: lock, cancel: cancel,
		elected: make(chan struct{}), stopped: make(chan struct{}), done: make(chan struct{}),
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &recording{Interface: lock, to: c}, Name: testID, ReleaseOnCancel: release,
		LeaseDuration: testLease, RenewDeadline: testRenewDeadline, RetryPeriod: testRetryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(work context.Context) {
				c.mu.Lock()
				c.terms++
				first := c.terms == 1
				c.mu.Unlock()
				if first {
					c.electedAt = time.Now()
					close(c.elected)
					<-work.Done()
					c.stoppedAt = time.Now()
					close(c.stopped)
				}
			},
			OnStoppedLeading: func() {},
			OnNewLeader: func(identity string) {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.seen = append(c.seen, identity)
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		elector.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-c.done
		if isClosed(c.elected) {
			<-c.stopped
		}
	})
	return c
}

func (c *candidate) operations() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.ops...)
}

func (c *candidate) note(op string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ops = append(c.ops, op)
}

// recording notes what an elector asks of its lock.
type recording struct {
	rl.Interface
	to *candidate
}

func (r *recording) Get(ctx context.Context) (*rl.LeaderElectionRecord, []byte, error) {
	r.to.note("get")
	return r.Interface.Get(ctx)
}

func (r *recording) Create(ctx context.Context, record rl.LeaderElectionRecord) error {
	r.to.note("create")
	return r.Interface.Create(ctx, record)
}

func (r *recording) Update(ctx context.Context, record rl.LeaderElectionRecord) error {
	r.to.note("update")
	return r.Interface.Update(ctx, record)
}

func (r *recording) RecordEvent(what string) {
	r.to.mu.Lock()
	r.to.events = append(r.to.events, what)
	r.to.mu.Unlock()
	r.Interface.RecordEvent(what)
}

func names(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("candidate-%d", i)
	}
	return list
}
