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

const (
	// bellAwait is how long the server holds a request for new messages, bellSilence after how long a request without an answer is
	// given up.
	bellAwait   = time.Second
	bellSilence = 5 * time.Second
)

var (
	errNoBell    = errors.New("the server has no capped collections")
	errNotCapped = errors.New("the collection of the feed is not capped: drop it, or name another with WithFeed, " +
		"unless the server has no capped collections")
	errFeedGone  = errors.New("the collection of the feed was dropped")
	errFeedEmpty = errors.New("the collection of the feed is empty and not capped")
	errSilence   = errors.New("nothing was heard of the feed")
	errDead      = errors.New("the server has ended the cursor")
)

const codeNamespaceExists = 48

// listener reads the doorbell's messages. Nothing but its goroutine touches heard.
type listener struct {
	bell  *doorbell
	stop  context.CancelFunc
	heard bool // a message of its own, in this session
}

// run listens until ctx is done, or the server turns out to have nothing to listen to.
func (l *listener) run(ctx context.Context) {
	defer l.stop()
	for failures := 0; ctx.Err() == nil; {
		err := l.session(ctx, failures > 0)
		if l.heard {
			failures = 0
		}
		l.deafen()
		if ctx.Err() != nil || l.bell.absent() {
			return
		}
		l.bell.ensured.Store(0) // the collection may have been dropped
		if failures++; failures == 1 {
			l.bell.client.log.Info("No push for now: waiters and watchers look by themselves", "reason", err.Error())
		}
		_ = pause(ctx, bellPause(failures))
	}
}

// begin tells that messages are heard from now on. What happened until now may have gone unheard.
func (l *listener) begin(again bool) {
	l.heard = true
	l.bell.hearing.Store(l)
	if again {
		l.bell.client.log.Info("Push works again")
	}
	l.bell.deliver(message{All: true})
}

// deafen is the opposite of begin. What happens from now on may go unheard.
func (l *listener) deafen() {
	l.heard = false
	if l.bell.hearing.CompareAndSwap(l, nil) { // otherwise the next listener hears already
		l.bell.deliver(message{All: true})
	}
}

// session opens a cursor and reads it until it ends. Messages count from the one that the session itself has sent: those before it are
// old, and if it never comes, this server does not push, whatever it says.
func (l *listener) session(ctx context.Context, again bool) error {
	b := l.bell
	if err := b.ensure(ctx); err != nil {
		return err
	}
	hello := newHolderID()
	if err := b.insert(ctx, message{Mark: bellMark, Hello: hello}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(outside(ctx))
	defer cancel()
	silence := time.AfterFunc(bellSilence, cancel) // a cancelled context says nothing of a deadline to the driver, which would retry
	defer silence.Stop()
	cursor, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), bellFarewell)
		defer cancel()
		_ = cursor.Close(closing) // the server forgets it anyway
	}()
	for {
		got := cursor.TryNext(ctx)
		switch {
		case ctx.Err() != nil:
			return errSilence
		case cursor.Err() != nil:
			return classify("listen to the feed", cursor.Err())
		case !got && cursor.ID() == 0:
			return errDead
		}
		if got || l.heard { // until its own message has come, an empty answer is none
			silence.Reset(bellSilence)
		}
		if m := (message{}); got && cursor.Decode(&m) == nil && m.Mark == bellMark {
			l.take(m, hello, again)
		}
	}
}

// open opens a cursor that waits for messages.
func (b *doorbell) open(ctx context.Context) (*mongo.Cursor, error) {
	opts := options.Find().SetCursorType(options.TailableAwait).SetMaxAwaitTime(bellAwait)
	genuine, err := isMongoDB(ctx, b.coll.Database())
	if err != nil {
		return nil, err
	}
	if !genuine {
		opts.SetBatchSize(1) // FerretDB fills a batch before it answers
	}
	cursor, err := b.coll.Find(ctx, bson.D{}, opts)
	return cursor, classify("listen to the feed", err)
}

// take takes a message that was read.
func (l *listener) take(m message, hello string, again bool) {
	switch {
	case m.Hello == hello:
		l.begin(again)
	case m.Hello == "" && l.heard:
		l.bell.deliver(m)
	}
}

// ensure creates the collection if it is not there. An insert would create it too, but not capped.
func (b *doorbell) ensure(ctx context.Context) error {
	if b.client.now() < time.Duration(b.ensured.Load()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(outside(ctx), maxAttempt)
	defer cancel()
	err := b.create(ctx)
	for tries := 1; (errors.Is(err, errFeedGone) || errors.Is(err, errFeedEmpty)) && tries < 3; tries++ {
		err = b.create(ctx)
	}
	if errors.Is(err, errFeedEmpty) {
		err = errNotCapped // others who repair it would have been done by now
	}
	switch {
	case err == nil:
		b.ensured.Store(int64(b.client.now() + bellTrust))
	case (errors.Is(err, errNoBell) || errors.Is(err, errNotCapped)) && !b.unsupported.Swap(true):
		b.client.log.Info("No push: waiters and watchers look by themselves", "reason", err.Error())
	}
	return err
}

// create leaves alone a collection that is not capped, unless messages and nothing else are in it: then the feed was lost, and somebody
// rang before it was made anew. Others may be at the same, and others still may ring: what can be their doing is errFeedGone, or errFeedEmpty
// if nothing was found in it, as only what the server or a stranger has done will stay so.
func (b *doorbell) create(ctx context.Context) error {
	there, capped, err := b.inspect(ctx)
	if err != nil || capped {
		return err
	}
	if there {
		rung, err := b.contains(ctx, "$eq")
		if err == nil {
			err = b.drop(ctx, rung, errFeedEmpty)
		}
		if err != nil {
			return err
		}
	}
	made, err := b.createCapped(ctx)
	if err != nil {
		return err
	}
	if there, capped, err = b.inspect(ctx); err != nil || capped {
		return err
	}
	// Nobody rings where no feed can be made. DocumentDB takes the option and ignores it.
	rung, err := b.contains(ctx, "$eq")
	if err == nil {
		err = b.drop(ctx, there && made && !rung, errFeedGone)
	}
	if err != nil {
		return err
	}
	return errNoBell
}

// createCapped tells whether it has made the collection. It is false if there is one.
func (b *doorbell) createCapped(ctx context.Context) (made bool, err error) {
	wanted := options.CreateCollection().SetCapped(true).SetSizeInBytes(bellBytes).SetMaxDocuments(bellDocuments)
	err = b.coll.Database().CreateCollection(ctx, b.coll.Name(), wanted)
	var server mongo.ServerError
	if errors.As(err, &server) && server.HasErrorCode(codeNamespaceExists) {
		return false, nil
	}
	err = classify("create the feed", err)
	if err == nil || isTransient(err) || errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrClosed) {
		return err == nil, err
	}
	return false, fmt.Errorf("%w: %w", errNoBell, err)
}

// inspect tells whether the collection is there, and capped.
func (b *doorbell) inspect(ctx context.Context) (there, capped bool, err error) {
	specs, err := b.coll.Database().ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: b.coll.Name()}})
	for _, spec := range specs {
		there = true
		capped, _ = spec.Options.Lookup("capped").BooleanOK()
	}
	return there, capped, classify("look at the feed", err)
}

// drop drops the collection if it is no feed for sure, and nothing is in it that is no message; if that is not sure it returns doubt.
func (b *doorbell) drop(ctx context.Context, sure bool, doubt error) error {
	foreign, err := b.contains(ctx, "$ne")
	switch {
	case err != nil:
		return err
	case foreign:
		return errNotCapped
	case !sure:
		return doubt
	}
	return classify("drop the feed that is not capped", b.coll.Drop(ctx))
}

// contains tells whether there is a document whose mark compares so with ours.
func (b *doorbell) contains(ctx context.Context, operator string) (bool, error) {
	err := b.coll.FindOne(ctx, bson.D{{Key: "mongolock", Value: op(operator, bellMark)}}).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	return err == nil, classify("look at the feed", err)
}
