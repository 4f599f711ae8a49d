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
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// store is what the engine needs of a database: five operations, each atomic per document and judged by the database's clock. It
// exists so that the timing of leases can be tested without I/O.
type store interface {
	// acquire returns the document after the attempt: the caller holds the lock if its holder id is in it and live.
	acquire(ctx context.Context, a acquisition) (*document, error)
	// renew extends grants and tells of each what became of it.
	renew(ctx context.Context, refs []grantRef) ([]fate, error)
	// release takes out a grant; false if it was not there.
	release(ctx context.Context, ref grantRef) (bool, error)
	// sweep records expiries that nobody noticed, among the leases that were to end between two server times; it returns how many.
	sweep(ctx context.Context, after, before time.Time) (int64, error)
	// find reads documents, in order of their ids if it is limited.
	find(ctx context.Context, q query) ([]document, error)
}

// fate is what became of a grant that was to be renewed.
type fate int

const (
	// fateUnsure: it is there, but whether this command renewed it cannot be told.
	fateUnsure fate = iota
	fateRenewed
	// fateGone: it has ended, by the server's word.
	fateGone
)

// query selects documents, all if it is empty.
type query struct {
	ids          []string
	prefix       string
	after        string // ids greater than this
	heldOnly     bool   // recorded holders; whether they are live is for the reader to see
	changedAfter time.Time
	limit        int64
}

// mongoStore is the store on a MongoDB collection.
type mongoStore struct {
	coll *mongo.Collection
}

// newMongoStore derives a handle that does not depend on how the caller's client is configured: a grant that a majority did not
// acknowledge can be rolled back, a secondary answers with the past, and BSON options can change the schema.
func newMongoStore(db *mongo.Database, collection string) *mongoStore {
	return &mongoStore{coll: db.Collection(collection, options.Collection().
		SetWriteConcern(writeconcern.Majority()).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary()).
		SetRegistry(bson.NewRegistry()).
		SetBSONOptions(&options.BSONOptions{}))}
}

// outside returns ctx without a session of the caller's: inside a transaction a grant would vanish when it is aborted, and a session
// must not be used by two goroutines.
func outside(ctx context.Context) context.Context { return mongo.NewSessionContext(ctx, nil) }

// acquire does not upsert: DocumentDB-based servers answer the loser of two racing upserts with its own document, a second holder.
// A free stub is inserted instead, by whom does not matter, and the update is sent again.
func (s *mongoStore) acquire(ctx context.Context, a acquisition) (*document, error) {
	const operation = "acquire"
	ctx = outside(ctx)
	after := options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(projection())
	for first := true; ; first = false {
		var doc document
		err := s.coll.FindOneAndUpdate(ctx, byID(a.lock), acquirePipeline(a), after).Decode(&doc)
		if err == nil {
			return &doc, nil
		}
		if !errors.Is(err, mongo.ErrNoDocuments) {
			err = classify(operation, err)
			if isTransient(err) || errors.Is(err, ErrUnauthorized) {
				return nil, err
			}
			// Refused: because the document is not ours, or, by DocumentDB-based servers, because there is no collection yet.
			exists, findErr := s.exists(ctx, a.lock)
			if findErr != nil {
				return nil, findErr
			}
			if exists || !first {
				return nil, err
			}
		}
		_, err = s.coll.InsertOne(ctx, stub(a.lock, time.Now()))
		if err == nil {
			continue
		}
		if !mongo.IsDuplicateKeyError(err) {
			return nil, classify(operation, err)
		}
		// Somebody else inserted it first, or it is not ours. If it was purged in between, another round inserts it.
		if _, err := s.exists(ctx, a.lock); err != nil {
			return nil, err
		}
	}
}

// exists tells whether the lock has a document, and fails if that is not ours.
func (s *mongoStore) exists(ctx context.Context, lock string) (bool, error) {
	docs, err := s.find(ctx, query{ids: []string{lock}})
	if err != nil || len(docs) == 0 {
		return false, err
	}
	return true, docs[0].foreign
}

// renew needs a second command only when the counts fall short.
func (s *mongoStore) renew(ctx context.Context, refs []grantRef) ([]fate, error) {
	const operation = "renew"
	ctx = outside(ctx)
	fates := make([]fate, len(refs))
	result, err := s.coll.UpdateMany(ctx, renewFilter(refs), renewPipeline(refs))
	if err != nil {
		return nil, classify(operation, err)
	}
	if result.ModifiedCount == int64(len(refs)) {
		for i := range fates {
			fates[i] = fateRenewed
		}
		return fates, nil
	}
	ids := make([]string, len(refs))
	for i, r := range refs {
		ids[i] = r.lock
	}
	docs, err := s.find(ctx, query{ids: ids})
	if err != nil {
		return nil, err
	}
	byLock := make(map[string]*document, len(docs))
	for i := range docs {
		byLock[docs[i].ID] = &docs[i]
	}
	for i, r := range refs {
		doc := byLock[r.lock]
		if doc == nil || doc.foreign != nil {
			fates[i] = fateGone
			continue
		}
		if h, ok := doc.grant(r.holderID); !ok || !doc.live(h) {
			fates[i] = fateGone
		}
	}
	return fates, nil
}

func (s *mongoStore) release(ctx context.Context, ref grantRef) (bool, error) {
	result, err := s.coll.UpdateOne(outside(ctx), releaseFilter(ref), releasePipeline(ref.holderID))
	if err != nil {
		return false, classify("release", err)
	}
	return result.MatchedCount > 0, nil
}

func (s *mongoStore) sweep(ctx context.Context, after, before time.Time) (int64, error) {
	result, err := s.coll.UpdateMany(outside(ctx), sweepFilter(after, before), sweepPipeline())
	if err != nil {
		return 0, classify("sweep", err)
	}
	return result.ModifiedCount, nil
}

func (s *mongoStore) find(ctx context.Context, q query) ([]document, error) {
	ctx = outside(ctx)
	opts := options.Find().SetProjection(projection())
	if q.limit > 0 {
		opts.SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(q.limit)
	}
	cursor, err := s.coll.Find(ctx, q.filter(), opts)
	if err != nil {
		return nil, classify("read", err)
	}
	var raws []bson.Raw
	if err := cursor.All(ctx, &raws); err != nil {
		return nil, classify("read", err)
	}
	docs := make([]document, 0, len(raws))
	for _, raw := range raws {
		if doc, ok := decode(raw); ok {
			docs = append(docs, doc)
		}
	}
	return docs, nil
}

// filter leaves out foreign documents, except where locks are asked for by name: then the caller must be told.
func (q query) filter() bson.D {
	var filter, id bson.D
	if len(q.ids) > 0 {
		id = op("$in", q.ids)
	} else {
		// Comparing with a string leaves out ids of other types, which are not locks.
		id = op("$gte", q.prefix)
		filter = append(filter, bson.E{Key: "v", Value: schemaVersion})
	}
	if q.prefix != "" {
		// U+10FFFF sorts after every other character of UTF-8.
		id = append(id, bson.E{Key: "$lte", Value: q.prefix + "\U0010FFFF"})
	}
	if q.after != "" {
		id = append(id, bson.E{Key: "$gt", Value: q.after})
	}
	filter = append(filter, bson.E{Key: "_id", Value: id})
	if q.heldOnly {
		filter = append(filter, bson.E{Key: "holders.0", Value: op("$exists", true)})
	}
	if !q.changedAfter.IsZero() {
		filter = append(filter, bson.E{Key: "changedAt", Value: bson.D{{Key: "$gt", Value: q.changedAfter}}})
	}
	return filter
}

// decode reads a stored document; one that is not ours, or whose fields have the wrong types, is marked foreign. It is false for a
// document that cannot be a lock at all: locks have strings for ids.
func decode(raw bson.Raw) (document, bool) {
	id, ok := raw.Lookup("_id").StringValueOK()
	if !ok {
		return document{}, false
	}
	var doc document
	if err := bson.Unmarshal(raw, &doc); err != nil || doc.V != schemaVersion {
		now, _ := raw.Lookup("now").TimeOK()
		return document{ID: id, Now: now.UTC(), foreign: foreignDocument(id)}, true
	}
	return doc, true
}

func foreignDocument(id string) error {
	return fmt.Errorf("%w: _id %q lacks the field v: %d or does not have the fields of a lock; move it away or use another id or collection",
		ErrForeignDocument, id, schemaVersion)
}
