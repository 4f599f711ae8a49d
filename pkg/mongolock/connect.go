/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// New makes a client that keeps its locks in db, whose own client stays the caller's. It tests the server on a scratch document and,
// on MongoDB's own servers, creates the indexes, which takes about fifteen round trips and at most ten seconds. It may return
// [ErrInvalid], [ErrUnreachable], [ErrUnauthorized] or [ErrUnsupportedServer].
func New(ctx context.Context, db *mongo.Database, opts ...Option) (*Client, error) {
	if db == nil {
		return nil, invalid("the database is nil")
	}
	settings := newSettings(opts)
	if err := settings.validate(); err != nil {
		return nil, err
	}
	feedDriver, bell, err := settings.bellCollection(db)
	if err != nil {
		return nil, err
	}
	s := newMongoStore(db, settings.collection)
	c := newClient(ctx, settings, s, bell, bootTime)
	if feedDriver != nil {
		c.owned = append(c.owned, feedDriver)
	}
	c.check = func(ctx context.Context) error {
		purges, err := s.prepare(ctx, settings.grace)
		if err == nil && !purges {
			if settings.feed.uri == "" {
				c.bell.unsupported.Store(true) // this server has no capped collections either
			}
			c.tasks.Go(func() { c.purgeStrays(c.closing) })
		}
		return err
	}
	if !settings.deferCheck {
		if err := c.ready(ctx); err != nil {
			return nil, errors.Join(err, c.Close(ctx))
		}
	}
	return c, nil
}

// Connect is [New] with a driver client of its own, which [Client.Close] disconnects. uri is a MongoDB connection string; it never
// appears in an error. It may return what New returns, and [ErrInvalid] for a connection string that cannot be used.
func Connect(ctx context.Context, uri string, opts ...Option) (*Client, error) {
	settings := newSettings(opts)
	driver, err := connect(uri)
	if err != nil {
		return nil, err
	}
	c, err := New(ctx, driver.Database(settings.database), opts...)
	if err != nil {
		cleanup, cancel := cleanupContext(ctx)
		defer cancel()
		_ = driver.Disconnect(cleanup) // the first error tells more
		return nil, err
	}
	c.owned = append(c.owned, driver)
	return c, nil
}

// connect makes a driver client; it sends nothing.
func connect(uri string) (*mongo.Client, error) {
	clientOptions := options.Client().ApplyURI(uri)
	var lookup *net.DNSError
	if err := clientOptions.Validate(); errors.As(err, &lookup) {
		return nil, fmt.Errorf("%w: the name of the mongodb+srv connection string cannot be looked up; check it, and the DNS server", ErrUnreachable)
	} else if err != nil {
		// The driver's text may quote the string, and with it a password.
		return nil, invalid("the connection string cannot be used; it must look like mongodb://user:password@host:27017/?authSource=admin, " +
			"with special characters percent-encoded")
	}
	driver, err := mongo.Connect(clientOptions)
	if err != nil {
		return nil, invalid("the driver refused the options of the connection string")
	}
	return driver, nil
}

// bellCollection is where the doorbell is, and the driver client that was made for it, if it is on a server of its own.
func (s clientSettings) bellCollection(db *mongo.Database) (*mongo.Client, *mongo.Collection, error) {
	collection := cmp.Or(s.feed.collection, s.collection+"_feed")
	database := cmp.Or(s.feed.database, db.Name())
	if s.feed.uri == "" && database == db.Name() && collection == s.collection {
		return nil, nil, invalid("the feed's collection is that of the locks, %q; it must be another", collection)
	}
	driver := db.Client()
	var own *mongo.Client
	if s.feed.uri != "" {
		var err error
		if own, err = connect(s.feed.uri); err != nil {
			return nil, nil, fmt.Errorf("the feed: %w", err)
		}
		driver = own
	}
	// Hints need no majority: one that is lost costs time and nothing else.
	coll := driver.Database(database).Collection(collection, options.Collection().
		SetWriteConcern(writeconcern.W1()).
		SetReadConcern(readconcern.Local()).
		SetReadPreference(readpref.Primary()).
		SetRegistry(bson.NewRegistry()).
		SetBSONOptions(&options.BSONOptions{}))
	return own, coll, nil
}
