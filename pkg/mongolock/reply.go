/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// decodeReply is decode for the reply to an acquire, of which only what its caller looks at is read, field by field: reflection over all
// of it takes a tenth of the time that the server takes. Whatever is not as expected is left to decode, which knows what it means.
func decodeReply(raw bson.Raw) (document, bool) {
	doc, ok := readReply(raw)
	if !ok {
		return decode(raw)
	}
	return doc, true
}

func readReply(raw bson.Raw) (doc document, ok bool) {
	f := fields{raw: raw, ok: true}
	doc.ID, doc.V, doc.Now, doc.Queued = f.text("_id"), int32(f.number("v")), f.time("now"), int(f.number("queued"))
	doc.Policy.Suspended = f.flag("policy", "suspended")
	holders, isArray := raw.Lookup("state", "holders").ArrayOK()
	if !isArray || !f.ok || doc.V != schemaVersion {
		return doc, false
	}
	values, err := holders.Values()
	if err != nil {
		return doc, false
	}
	doc.State.Holders = make([]holder, len(values))
	for i, v := range values {
		if doc.State.Holders[i], ok = readHolder(v); !ok {
			return doc, false
		}
	}
	return doc, true
}

func readHolder(v bson.RawValue) (h holder, ok bool) {
	raw, ok := v.DocumentOK()
	if !ok {
		return h, false
	}
	f := fields{raw: raw, ok: true}
	h = holder{
		ID: f.text("id"), Owner: f.text("owner"), Mode: f.text("mode"), Token: f.number("token"), Lease: f.number("lease"),
		AcquiredAt: f.time("acquiredAt"), ExpiresAt: f.time("expiresAt"),
	}
	meta := raw.Lookup("meta")
	if array, ok := meta.ArrayOK(); ok && len(array) > 5 { // an empty one has 5 bytes
		f.ok = f.ok && meta.Unmarshal(&h.Meta) == nil
	}
	pending, err := raw.LookupErr("pending")
	h.Pending = err == nil && pending.Type == bson.TypeBoolean && pending.Boolean()
	return h, f.ok
}

// fields reads fields of a document; ok is false once one was missing or of another type.
type fields struct {
	raw bson.Raw
	ok  bool
}

func (f *fields) text(path ...string) string {
	s, ok := f.raw.Lookup(path...).StringValueOK()
	f.ok = f.ok && ok
	return s
}

func (f *fields) number(path ...string) int64 {
	n, ok := f.raw.Lookup(path...).AsInt64OK()
	f.ok = f.ok && ok
	return n
}

func (f *fields) time(path ...string) time.Time {
	t, ok := f.raw.Lookup(path...).TimeOK()
	f.ok = f.ok && ok
	return t.UTC()
}

func (f *fields) flag(path ...string) bool {
	b, ok := f.raw.Lookup(path...).BooleanOK()
	f.ok = f.ok && ok
	return b
}
