//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package audit

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/mongolock/operator/hack/torture/history"
)

// state is what the auditor reads of a lock's document.
type state struct {
	Now   time.Time `bson:"now"`
	State struct {
		Holders []holder        `bson:"holders"`
		Waiters []waiter        `bson:"waiters"`
		Fence   int64           `bson:"fence"`
		Grants  int64           `bson:"grants"`
		Seq     int64           `bson:"seq"`
		Events  []history.Event `bson:"events"`
	} `bson:"state"`
}

type holder struct {
	ID         string    `bson:"id"`
	Owner      string    `bson:"owner"`
	Mode       string    `bson:"mode"`
	Token      int64     `bson:"token"`
	AcquiredAt time.Time `bson:"acquiredAt"`
	ExpiresAt  time.Time `bson:"expiresAt"`
	Pending    bool      `bson:"pending"`
}

type waiter struct {
	ID        string    `bson:"id"`
	Owner     string    `bson:"owner"`
	Mode      string    `bson:"mode"`
	Since     time.Time `bson:"since"`
	ExpiresAt time.Time `bson:"expiresAt"`
}

const shared = "shared"

// parse reads a document, and returns nil when there is none or when it is not that of a lock.
func parse(document bson.Raw) *state {
	s := &state{}
	if document == nil || document.Lookup("v").Type == 0 || bson.Unmarshal(document, s) != nil {
		return nil
	}
	return s
}

// waiting tells whether a live waiter stands before a lock that nobody holds.
func (s *state) waiting() bool {
	for _, h := range s.State.Holders {
		if h.ExpiresAt.After(s.Now) {
			return false
		}
	}
	for _, w := range s.State.Waiters {
		if w.ExpiresAt.After(s.Now) {
			return true
		}
	}
	return false
}

// anew tells whether the document is another one than that of the look before.
func (s *state) anew(last *seen) bool {
	if last.state == nil {
		return last.from != 0 // it was not there
	}
	before := last.state.State
	if s.State.Seq < before.Seq || s.State.Grants < before.Grants {
		return true
	}
	for _, e := range s.State.Events {
		for _, b := range before.Events {
			if e.Seq == b.Seq && e != b {
				return true
			}
		}
	}
	return false
}

// fill writes the state into a look, with the events that the last one did not have.
func (s *state) fill(look *history.Look, last *seen) {
	look.Exists, look.Now, look.Seq, look.Fence = true, s.Now.UnixMilli(), s.State.Seq, s.State.Fence
	look.Anew = s.anew(last)
	known := int64(0)
	if last.state != nil && !look.Anew {
		known = last.state.State.Seq
	}
	for _, e := range s.State.Events {
		if e.Seq > known {
			look.Events = append(look.Events, e)
		}
	}
	if len(look.Events) > 0 {
		look.Gap = look.Events[0].Seq - known - 1
	} else {
		look.Gap = s.State.Seq - known
	}
	for _, h := range s.State.Holders {
		look.Holders = append(look.Holders, history.Holder{
			ID: h.ID, Owner: h.Owner, Shared: h.Mode == shared, Token: h.Token,
			AcquiredAt: h.AcquiredAt.UnixMilli(), ExpiresAt: h.ExpiresAt.UnixMilli(), Pending: h.Pending,
		})
	}
	for _, w := range s.State.Waiters {
		look.Waiters = append(look.Waiters, history.Waiter{
			ID: w.ID, Owner: w.Owner, Shared: w.Mode == shared, Since: w.Since.UnixMilli(), ExpiresAt: w.ExpiresAt.UnixMilli(),
		})
	}
}
