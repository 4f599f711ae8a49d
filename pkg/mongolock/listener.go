/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

var (
	errNoBell    = errors.New("the server has no capped collections")
	errNotCapped = errors.New("the collection of the feed is not capped: drop it, or name another with WithFeed")
	errSilence   = errors.New("nothing was heard of the feed")
	errDead      = errors.New("the server has ended the cursor")
)

// hear listens until ctx is done, or the server turns out to have nothing to listen to. Whenever it begins or ceases to hear, anything
// may have happened unheard.
func (b *doorbell) hear(ctx context.Context) {
	for wait := minBellPause; ctx.Err() == nil; wait = min(2*wait, maxBellPause) {
		err := b.session(ctx)
		if b.works.Swap(false) {
			wait = minBellPause
			b.deliver(message{All: true})
		}
		switch {
		case ctx.Err() != nil:
			return
		case b.absent():
			return
		}
		b.ensured.Store(false) // it may have been dropped
		b.client.log.V(1).Info("Push interrupted: waiters and watchers look by themselves meanwhile", "reason", err.Error())
		_ = pause(ctx, jitter(wait))
	}
}

// session opens a cursor and reads it until it ends. Messages count from the one that the session itself has sent: those before it are
// old, and if it never comes, this server does not push, whatever it says.
func (b *doorbell) session(ctx context.Context) error {
	if err := b.ensure(ctx); err != nil {
		return err
	}
	hello := newHolderID()
	if err := b.insert(ctx, message{Hello: hello}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(outside(ctx))
	defer cancel()
	silence := time.AfterFunc(bellSilence, cancel) // a cancelled context says nothing of a deadline to the driver, which would retry
	defer silence.Stop()
	// One document at a time: FerretDB fills a batch before it answers, and one message tells of many locks.
	cursor, err := b.coll.Find(ctx, bson.D{}, options.Find().SetCursorType(options.TailableAwait).SetMaxAwaitTime(bellAwait).SetBatchSize(1))
	if err != nil {
		return classify("listen to the feed", err)
	}
	defer func() {
		closing, cancel := cleanupContext(ctx)
		defer cancel()
		_ = cursor.Close(closing) // the server forgets it anyway
	}()
	for {
		var m message
		got := cursor.TryNext(ctx)
		switch {
		case ctx.Err() != nil:
			return errSilence
		case cursor.Err() != nil:
			return classify("listen to the feed", cursor.Err())
		case !got && cursor.ID() == 0:
			return errDead
		case got && cursor.Decode(&m) != nil:
			continue // not a message of ours
		}
		if got || b.works.Load() { // until its own message has come, an empty answer is none
			silence.Reset(bellSilence)
		}
		switch {
		case m.Hello == hello:
			b.works.Store(true)
			b.deliver(message{All: true})
		case got && m.Hello == "" && b.works.Load():
			b.deliver(m)
		}
	}
}

// ensure creates the collection if it is not there. An insert would create it too, but not capped.
func (b *doorbell) ensure(ctx context.Context) error {
	if b.ensured.Load() {
		return nil
	}
	err := b.create(ctx)
	b.ensured.Store(err == nil)
	if errors.Is(err, errNoBell) || errors.Is(err, errNotCapped) {
		b.unsupported.Store(true)
		b.client.log.V(1).Info("No push: waiters and watchers look by themselves", "reason", err.Error())
	}
	return err
}

func (b *doorbell) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(outside(ctx), maxAttempt)
	defer cancel()
	capped := options.CreateCollection().SetCapped(true).SetSizeInBytes(bellBytes).SetMaxDocuments(bellDocuments)
	err := b.coll.Database().CreateCollection(ctx, b.coll.Name(), capped)
	made := err == nil
	var server mongo.ServerError
	switch {
	case made: // DocumentDB takes the option and ignores it
	case !errors.As(err, &server) || isTransient(classify("", err)) && !server.HasErrorCode(1):
		return classify("create the feed", err)
	case !server.HasErrorCode(codeNamespaceExists):
		return fmt.Errorf("%w: %w", errNoBell, classify("create the feed", err))
	}
	specs, err := b.coll.Database().ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: b.coll.Name()}})
	if err != nil {
		return classify("look at the feed", err)
	}
	for _, spec := range specs {
		if capped, ok := spec.Options.Lookup("capped").BooleanOK(); ok && capped {
			continue
		}
		if made {
			return errors.Join(errNoBell, classify("drop the feed that is not capped", b.coll.Drop(ctx)))
		}
		return errNotCapped
	}
	return nil
}

const codeNamespaceExists = 48

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
}
