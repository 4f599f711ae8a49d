//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package nemesis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

const (
	// retryPeriod is the time between two tries to find a document as a fault wants it, or to put it back.
	retryPeriod = 3 * time.Millisecond
	// restoreTime bounds putting a document back; the server may be coming back from another fault.
	restoreTime = 30 * time.Second
)

// rubbish are the ways to spoil a document: a field and what is written into it.
var rubbish = bson.D{
	{Key: "state", Value: "rubbish"},
	{Key: "v", Value: "two"},
	{Key: "v", Value: int32(99)},
}

// hitDocument deletes the document of a lock, or spoils it for a while.
func (n *Nemesis) hitDocument(ctx context.Context, fault plan.Fault, record *history.Fault) error {
	if fault.Kind == plan.Purge || fault.Kind == plan.Delete {
		return n.deleteDocument(ctx, fault, record)
	}
	return n.spoilDocument(ctx, fault, record)
}

// deleteDocument deletes the document when the lock is free and nobody waits for it, as a purge does, or when it is held.
func (n *Nemesis) deleteDocument(ctx context.Context, fault plan.Fault, record *history.Fault) error {
	filter := bson.D{{Key: "_id", Value: fault.Lock}}
	if fault.Kind == plan.Purge {
		filter = append(filter, bson.E{Key: "state.holders", Value: bson.D{{Key: "$size", Value: 0}}},
			bson.E{Key: "state.waiters", Value: bson.D{{Key: "$size", Value: 0}}})
	} else {
		filter = append(filter, bson.E{Key: "state.holders.0", Value: bson.D{{Key: "$exists", Value: true}}})
	}
	collection := n.Collections[fault.Lock]
	for end := history.Now().Add(fault.For); record.Hits == 0 && ctx.Err() == nil && history.Now() < end; task.Wait(ctx, retryPeriod) {
		record.From = history.Now()
		err := n.Auditor.Between(func(observe func(string, bson.Raw)) error {
			old, err := collection.FindOneAndDelete(ctx, filter).Raw()
			if err == nil {
				record.Hits = 1
				observe(fault.Lock, old)
				observe(fault.Lock, nil)
			}
			return err
		})
		if err != nil && !errors.Is(err, mongo.ErrNoDocuments) && ctx.Err() == nil {
			return err
		}
	}
	if record.Hits == 0 {
		return nil
	}
	if err := n.Declare(ctx, fault.Lock); err != nil {
		return err
	}
	return n.awaitDocument(ctx, fault.Lock)
}

// awaitDocument waits until the document of a lock has been made anew. Before that the server's clock must not go back: the tokens of a
// document begin with the time by that clock, which is the residual assumption of the lock.
func (n *Nemesis) awaitDocument(ctx context.Context, lock string) error {
	for ; ctx.Err() == nil; task.Wait(ctx, retryPeriod) {
		document, err := read(ctx, n.Collections[lock], bson.D{{Key: "_id", Value: lock}})
		if err != nil && ctx.Err() == nil {
			return err
		}
		if document != nil {
			return nil
		}
	}
	return nil
}

// spoilDocument makes the document of a lock one that is none, and puts back what it was, if nobody has touched it.
func (n *Nemesis) spoilDocument(ctx context.Context, fault plan.Fault, record *history.Fault) error {
	collection := n.Collections[fault.Lock]
	id := bson.D{{Key: "_id", Value: fault.Lock}}
	spoilt := bson.D{{Key: "_id", Value: fault.Lock}, {Key: "recipe", Value: "somebody else's document"}}
	var old bson.Raw
	err := n.Auditor.Between(func(observe func(string, bson.Raw)) error {
		var err error
		if fault.Kind == plan.Foreign {
			old, err = collection.FindOneAndReplace(ctx, id, spoilt).Raw()
		} else {
			change := change(fault)
			record.Detail = fmt.Sprintf("%s = %v", change.Key, change.Value)
			old, err = collection.FindOneAndUpdate(ctx, id, bson.D{{Key: "$set", Value: bson.D{change}}}).Raw()
		}
		if err == nil {
			observe(fault.Lock, old)
		}
		return err
	})
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil // it was deleted before, and nobody has needed it since
	}
	if err != nil {
		return err
	}
	record.Hits = 1
	before, err := read(ctx, collection, id)
	if err != nil {
		return err
	}
	task.Wait(ctx, fault.For)
	return n.putBack(context.WithoutCancel(ctx), collection, fault, before, old)
}

// putBack puts the old document back. A spoilt one that was changed meanwhile is a finding.
func (n *Nemesis) putBack(ctx context.Context, collection *mongo.Collection, fault plan.Fault, spoilt, old bson.Raw) error {
	ctx, cancel := context.WithTimeout(ctx, restoreTime)
	defer cancel()
	id := bson.D{{Key: "_id", Value: fault.Lock}}
	for sent, told := false, false; ; task.Wait(ctx, retryPeriod) {
		now, err := read(ctx, collection, id)
		switch {
		case err != nil:
		case sent && !stillSpoilt(fault, now):
			return nil // the earlier try worked, and its reply was lost
		case string(now) != string(spoilt) && !told:
			told = true
			what := fmt.Sprintf("the document of %s was spoilt (%s) and then written to: it was %s and became %s", fault.Lock, fault.Kind, spoilt, now)
			n.History.Write(history.Record{Leftover: &history.Leftover{What: what}})
		}
		if err == nil {
			sent = true
			_, err = collection.ReplaceOne(ctx, id, old, options.Replace().SetUpsert(true))
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// stillSpoilt tells whether a document is one that the fault made.
func stillSpoilt(fault plan.Fault, document bson.Raw) bool {
	if fault.Kind == plan.Foreign {
		_, err := document.LookupErr("recipe")
		return err == nil
	}
	change := change(fault)
	value := document.Lookup(change.Key)
	want, err := bson.Marshal(bson.D{change})
	return err == nil && value.Equal(bson.Raw(want).Lookup(change.Key))
}

// change is how a malformed document is made.
func change(fault plan.Fault) bson.E { return rubbish[fault.Variant%len(rubbish)] }

// read reads a document as it is; nil when there is none.
func read(ctx context.Context, collection *mongo.Collection, id bson.D) (bson.Raw, error) {
	document, err := collection.FindOne(ctx, id).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	return document, err
}
