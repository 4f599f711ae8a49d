/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// mongoStore is the store on a MongoDB collection.
type mongoStore struct {
	coll      *mongo.Collection
	templates *templates
}

// Projections that are always the same.
var (
	rawTryProjection = marshal(tryProjection())
	rawGone          = marshal(project("state.holders"))
	rawReleased      = marshal(project("state.holders", "state.events"))
)

// newMongoStore derives a handle that does not depend on how the caller's client is configured: a grant that a majority did not
// acknowledge can be rolled back, a secondary answers with the past, and BSON options can change the schema.
func newMongoStore(db *mongo.Database, collection string) *mongoStore {
	return &mongoStore{templates: &templates{byKey: map[string]*template{}}, coll: db.Collection(collection, options.Collection().
		SetWriteConcern(writeconcern.Majority()).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary()).
		SetRegistry(bson.NewRegistry()).
		SetBSONOptions(&options.BSONOptions{}))}
}

// outside returns ctx without a session of the caller's: inside a transaction a grant would vanish when it is aborted, and a session
// must not be used by two goroutines.
func outside(ctx context.Context) context.Context { return mongo.NewSessionContext(ctx, nil) }

// acquire sends the short pipeline first, which is all it takes to get a lock that is free or to be refused one that is held. Only if
// that did nothing although the lock may be had, because of what is left of others, it sends the general one.
func (s *mongoStore) acquire(ctx context.Context, a acquisition) (*document, error) {
	const operation = "acquire"
	if a.mode == modeExclusive {
		doc, err := s.updateOrCreate(ctx, operation, anyByID(a.lock), a.lock, s.templates.acquire(a), rawTryProjection)
		if err != nil || !doc.worthAnotherLook(a) {
			return doc, err
		}
	}
	return s.updateOrCreate(ctx, operation, byID(a.lock), a.lock, tryPipeline(a), rawTryProjection)
}

// worthAnotherLook tells whether nothing that can be seen in the document speaks against the exclusive acquisition, which was not
// granted.
func (d *document) worthAnotherLook(a acquisition) bool {
	if d.Policy.Suspended {
		return false
	}
	for _, h := range d.State.Holders {
		if d.live(h) || h.ID == a.holderID {
			return false
		}
	}
	return true
}

func (s *mongoStore) queue(ctx context.Context, a acquisition) (*document, error) {
	doc, err := s.updateOrCreate(ctx, "queue", byID(a.lock), a.lock, queuePipeline(a), queueProjection(a.holderID))
	if err == nil && doc.State.Waiters != nil { // it was read again
		doc.Place = slices.IndexFunc(doc.State.Waiters, func(w waiterDoc) bool { return w.ID == a.holderID })
	}
	return doc, err
}

func (s *mongoStore) setPolicy(ctx context.Context, lock string, p policy) (*document, error) {
	return s.updateOrCreate(ctx, "set policy", byID(lock), lock, policyPipeline(p), projection())
}

// updateOrCreate does not upsert: DocumentDB-based servers answer the loser of two racing upserts with its own document, a second
// holder. A free stub is inserted instead, by whom does not matter, and the update is sent again. What an update may come to:
//
//   - a document: it was ours, and is answered, or a foreign one that the filter let through, which is told;
//   - neither a document nor an error: none matches, since there is none, or since it is foreign. Inserting the stub tells which;
//   - a failure of the way to the server, or of the credentials: the caller has to know;
//   - a refusal of the command: if the document is there, it is foreign and the pipeline fails on it, or the refusal stands; both are told.
//     If it is not, a DocumentDB-based server may have no collection yet, which the insertion of the stub makes. That is tried once.
//
// Another round is made only when the document has just been inserted, by this or by another, or was purged in between.
func (s *mongoStore) updateOrCreate(ctx context.Context, operation string, filter bson.D, lock string, pipeline, projection any) (*document, error) {
	ctx = outside(ctx)
	for first := true; ; first = false {
		doc, err := s.update(ctx, operation, filter, pipeline, projection)
		if err == nil && doc != nil {
			return doc, doc.foreign
		}
		if err != nil {
			if isTransient(err) || errors.Is(err, ErrUnauthorized) {
				return nil, err
			}
			exists, findErr := s.exists(ctx, lock)
			if findErr != nil {
				return nil, findErr
			}
			if exists || !first {
				return nil, err
			}
		}
		_, err = s.coll.InsertOne(ctx, stub(lock, time.Now()))
		if err == nil {
			continue
		}
		if !mongo.IsDuplicateKeyError(err) {
			return nil, classify(operation, err)
		}
		// Somebody else inserted it first, or it is not ours. If it was purged in between, another round inserts it.
		if _, err := s.exists(ctx, lock); err != nil {
			return nil, err
		}
	}
}

// update returns the document after the update, or nil if none matches.
func (s *mongoStore) update(ctx context.Context, operation string, filter bson.D, pipeline, projection any) (*document, error) {
	opts := options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(projection)
	raw, err := s.coll.FindOneAndUpdate(outside(ctx), filter, pipeline, opts).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	if err != nil {
		return nil, classify(operation, err)
	}
	doc, ok := decode(raw)
	if !ok {
		return nil, nil
	}
	if doc.foreign == nil && doc.Now.IsZero() {
		// The driver has repeated the command, and MongoDB has answered with the record of the first time, which knows no projection.
		return s.readAgain(ctx, doc.ID)
	}
	return &doc, nil
}

// readAgain is a document as update returns it, but read later, with the whole queue in it.
func (s *mongoStore) readAgain(ctx context.Context, lock string) (*document, error) {
	docs, err := s.find(ctx, query{ids: []string{lock}})
	if err != nil || len(docs) == 0 {
		return nil, err
	}
	docs[0].Queued = len(docs[0].State.Waiters)
	return &docs[0], nil
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
func (s *mongoStore) renew(ctx context.Context, grants []grant) ([]fate, error) {
	const operation = "renew"
	ctx = outside(ctx)
	fates := make([]fate, len(grants))
	result, err := s.coll.UpdateMany(ctx, renewFilter(grants), renewPipeline(grants))
	if err != nil {
		return nil, classify(operation, err)
	}
	if result.ModifiedCount == int64(len(grants)) {
		for i := range fates {
			fates[i] = fateRenewed
		}
		return fates, nil
	}
	ids := make([]string, len(grants))
	for i, g := range grants {
		ids[i] = g.lock
	}
	docs, err := s.find(ctx, query{ids: ids})
	if err != nil {
		return nil, err
	}
	byLock := make(map[string]*document, len(docs))
	for i := range docs {
		byLock[docs[i].ID] = &docs[i]
	}
	for i, g := range grants {
		doc := byLock[g.lock]
		if doc == nil || doc.foreign != nil {
			fates[i] = fateGone
			continue
		}
		if h, ok := doc.grant(g.holderID); !ok || h.Token != g.token || !doc.live(h) {
			fates[i] = fateGone
		}
	}
	return fates, nil
}

// release sends the short pipeline first, unless somebody waited when the lock was acquired.
func (s *mongoStore) release(ctx context.Context, g grant) (departure, error) {
	if !g.contended {
		result, err := s.coll.UpdateOne(outside(ctx), anyByID(g.lock), s.templates.release(g))
		if err != nil {
			return departure{}, classify("release", err)
		}
		if result.ModifiedCount > 0 {
			return departure{how: exitDone}, nil
		}
	}
	doc, err := s.update(ctx, "release", holdFilter(g.grantRef), leavePipeline(g.holderID), rawReleased)
	if err != nil || doc == nil {
		return departure{}, err
	}
	return doc.departed(EventReleased, g.token), doc.foreign
}

func (s *mongoStore) leave(ctx context.Context, ref grantRef) (departure, error) {
	doc, err := s.update(ctx, "release", leaveFilter(ref), leavePipeline(ref.holderID), rawGone)
	if err != nil || doc == nil {
		return departure{}, err
	}
	return departure{how: exitDone, to: doc.handedTo()}, doc.foreign
}

func (s *mongoStore) evict(ctx context.Context, lock string, token int64, reason string) (departure, error) {
	doc, err := s.update(ctx, "evict", evictFilter(lock, token), evictPipeline(token, reason), projection())
	if err == nil && doc == nil {
		_, err = s.exists(ctx, lock) // a foreign document is told
	}
	if err != nil || doc == nil {
		return departure{}, err
	}
	return doc.departed(EventEvicted, token), doc.foreign
}

func (s *mongoStore) sweep(ctx context.Context, after, before time.Time) (int64, error) {
	result, err := s.coll.UpdateMany(outside(ctx), sweepFilter(after, before), sweepPipeline())
	if err != nil {
		return 0, classify("sweep", err)
	}
	return result.ModifiedCount, nil
}

func (s *mongoStore) purge(ctx context.Context, before time.Time) (int64, error) {
	result, err := s.coll.DeleteMany(outside(ctx), purgeFilter(before))
	if err != nil {
		return 0, classify("purge", err)
	}
	return result.DeletedCount, nil
}

func (s *mongoStore) find(ctx context.Context, q query) ([]document, error) {
	opts := options.Find().SetProjection(projection())
	if q.limit > 0 {
		opts.SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(q.limit)
	}
	raws, err := findAll[bson.Raw](ctx, s.coll, q.filter(), opts)
	if err != nil {
		return nil, err
	}
	docs := make([]document, 0, len(raws))
	for _, raw := range raws {
		if doc, ok := decode(raw); ok {
			docs = append(docs, doc)
		}
	}
	return docs, nil
}

func (s *mongoStore) glance(ctx context.Context, locks []string) ([]glimpse, error) {
	filter := bson.D{{Key: "_id", Value: op("$in", locks)}, {Key: "v", Value: schemaVersion}}
	raws, err := findAll[bson.Raw](ctx, s.coll, filter, options.Find().SetProjection(glanceProjection()))
	if err != nil {
		return nil, err
	}
	seen := make([]glimpse, 0, len(raws))
	for _, raw := range raws {
		// One that cannot be read must not blind those who wait for other locks. Who waits for this one is told when it asks.
		if g := (glimpse{}); raw.Validate() == nil && bson.Unmarshal(raw, &g) == nil {
			seen = append(seen, g)
		}
	}
	return seen, nil
}

func findAll[T any](ctx context.Context, coll *mongo.Collection, filter bson.D, opts *options.FindOptionsBuilder) ([]T, error) {
	ctx = outside(ctx)
	cursor, err := coll.Find(ctx, filter, opts)
	if err != nil {
		return nil, classify("read", err)
	}
	var found []T
	if err := cursor.All(ctx, &found); err != nil {
		return nil, classify("read", err)
	}
	return found, nil
}
