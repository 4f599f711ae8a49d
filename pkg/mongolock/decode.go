/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"fmt"
	"iter"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// beginOfTime and endOfTime are the beginnings of the years 1 and 10000, in milliseconds.
const (
	beginOfTime = -62135596800000
	endOfTime   = 253402300800000
)

// decode reads a document as the server returns it, of which there may be only what a projection lets through. One that is not ours is
// marked foreign, and so is one in which something is not as our commands write it: it lacks a field, or has it twice, or as a value of
// another type. It is false for a document that cannot be a lock at all: locks have strings for ids.
//
// It reads field by field, as bson.Unmarshal is lenient where the server is not. That takes null for no time at all, a number or a
// timestamp for a time, and a field named State for state, and so shows as free a lock that the server, which compares values of
// different types by their types, holds to be held, or the other way round. Besides, reflection would take a tenth of the time that the
// server takes for an acquire.
func decode(raw bson.Raw) (document, bool) {
	id, ok := raw.Lookup("_id").StringValueOK()
	if !ok {
		return document{}, false
	}
	var doc document
	d := decoder{}
	d.document(raw, 2, []field{
		{"_id", &doc.ID}, {"v", &doc.V},
		{"policy", &doc.Policy}, {"state", &doc.State}, {"now", &doc.Now}, {"place", &doc.Place}, {"queued", &doc.Queued},
	})
	if d.failed || doc.V != schemaVersion || doc.State.Holders == nil {
		now, _ := raw.Lookup("now").TimeOK()
		return document{ID: id, Now: now.UTC(), foreign: foreignDocument(id)}, true
	}
	return doc, true
}

func foreignDocument(id string) error {
	return fmt.Errorf("%w: _id %q lacks the field v: %d or does not have the fields of a lock; move it away or use another id or collection",
		ErrForeignDocument, id, schemaVersion)
}

// decoder reads values; failed is true once one was not what it must be.
type decoder struct{ failed bool }

// field is a field of a document, and a pointer to where its value belongs, whose type says which values are good.
type field struct {
	name string
	into any
}

// document reads fields. The first of them, as many as required, must be there, none may be there twice, and others do not matter.
func (d *decoder) document(raw []byte, required int, fields []field) {
	var seen uint
	for e := range d.elements(raw) {
		key := e.KeyBytes()
		for i := range fields {
			if fields[i].name == string(key) {
				d.failed = d.failed || seen&(1<<i) != 0
				seen |= 1 << i
				d.value(bson.RawElement(e).Value(), fields[i].into)
				break
			}
		}
	}
	all := uint(1)<<required - 1
	d.failed = d.failed || seen&all != all
}

// elements are those of a document or an array. It makes no slice of them, and no strings of their keys: that would take half of the time.
func (d *decoder) elements(raw []byte) iter.Seq[bsoncore.Element] {
	return func(yield func(bsoncore.Element) bool) {
		if bsoncore.Document(raw).Validate() != nil {
			d.failed = true
			return
		}
		for rest := raw[4:]; len(rest) > 1; { // after the length, before the final 0
			var e bsoncore.Element
			var ok bool
			if e, rest, ok = bsoncore.ReadElement(rest); !ok || !yield(e) {
				d.failed = d.failed || !ok
				return
			}
		}
	}
}

func (d *decoder) value(v bson.RawValue, into any) {
	ok := true
	switch into := into.(type) {
	case *string:
		*into, ok = v.StringValueOK()
	case *bool:
		*into, ok = v.BooleanOK()
	case *int:
		*into = int(d.number(v, math.MinInt32, math.MaxInt32))
	case *int32:
		*into = int32(d.number(v, 0, math.MaxInt32)) //nolint:gosec // within these bounds
	case *int64:
		*into = d.number(v, 0, math.MaxInt64)
	case *time.Time:
		*into = d.time(v)
	case **time.Time:
		if v.Type != bson.TypeNull {
			at := d.time(v)
			*into = &at
		}
	default:
		d.part(v, into)
	}
	d.failed = d.failed || !ok
}

// part reads a value that has fields or elements of its own.
func (d *decoder) part(v bson.RawValue, into any) {
	switch into := into.(type) {
	case *policy:
		d.policy(v, into)
	case *lockState:
		d.state(v, into)
	case *[]holder:
		*into = array(d, v, d.holder)
	case *[]waiterDoc:
		*into = array(d, v, d.waiter)
	case *[]event:
		*into = array(d, v, d.event)
	case *[]metaPair:
		if v.Type != bson.TypeNull {
			*into = array(d, v, d.metaPair)
		}
	}
}

// number takes all types of numbers: shells and other drivers write doubles.
func (d *decoder) number(v bson.RawValue, least, most int64) int64 {
	n, ok := v.AsInt64OK()
	if ok && v.Type == bson.TypeDouble {
		double := v.Double()
		ok = double == math.Trunc(double) && math.Abs(double) < 1<<53
	}
	d.failed = d.failed || !ok || n < least || n > most
	return n
}

// time takes dates that have a year of four digits: there is no JSON of others.
func (d *decoder) time(v bson.RawValue) time.Time {
	n, ok := v.DateTimeOK()
	d.failed = d.failed || !ok || n < beginOfTime || n >= endOfTime
	return time.UnixMilli(n).UTC()
}

// milliseconds are those of a lease.
func (d *decoder) milliseconds(n int64) {
	d.failed = d.failed || n > MaxLease.Milliseconds()
}

func (d *decoder) mode(mode string) {
	d.failed = d.failed || mode != modeExclusive && mode != modeShared
}

func (d *decoder) embedded(v bson.RawValue, required int, fields []field) {
	raw, ok := v.DocumentOK()
	if !ok {
		d.failed = true
		return
	}
	d.document(raw, required, fields)
}

// array is not nil unless it fails.
func array[T any](d *decoder, v bson.RawValue, read func(bson.RawValue, *T)) []T {
	raw, ok := v.ArrayOK()
	if !ok {
		d.failed = true
		return nil
	}
	all := []T{}
	for e := range d.elements(raw) {
		all = append(all, *new(T))
		read(bson.RawElement(e).Value(), &all[len(all)-1])
	}
	return all
}

func (d *decoder) policy(v bson.RawValue, p *policy) {
	d.embedded(v, 4, []field{
		{"capacity", &p.Capacity}, {"suspended", &p.Suspended}, {"maxLease", &p.MaxLease}, {"retain", &p.Retain},
	})
	d.milliseconds(p.MaxLease)
}

func (d *decoder) state(v bson.RawValue, s *lockState) {
	d.embedded(v, 1, []field{
		{"holders", &s.Holders},
		{"waiters", &s.Waiters}, {"fence", &s.Fence}, {"grants", &s.Grants}, {"seq", &s.Seq}, {"events", &s.Events},
		{"changedAt", &s.ChangedAt}, {"endsAt", &s.EndsAt}, {"purgeAt", &s.PurgeAt},
	})
}

func (d *decoder) holder(v bson.RawValue, h *holder) {
	d.embedded(v, 9, []field{
		{"id", &h.ID}, {"owner", &h.Owner}, {"mode", &h.Mode}, {"token", &h.Token}, {"lease", &h.Lease},
		{"acquiredAt", &h.AcquiredAt}, {"expiresAt", &h.ExpiresAt}, {"rev", &h.Rev}, {"meta", &h.Meta},
		{"pending", &h.Pending},
	})
	d.mode(h.Mode)
	d.milliseconds(h.Lease)
}

func (d *decoder) waiter(v bson.RawValue, w *waiterDoc) {
	d.embedded(v, 7, []field{
		{"id", &w.ID}, {"owner", &w.Owner}, {"mode", &w.Mode}, {"lease", &w.Lease},
		{"since", &w.Since}, {"expiresAt", &w.ExpiresAt}, {"meta", &w.Meta},
	})
	d.mode(w.Mode)
	d.milliseconds(w.Lease)
}

func (d *decoder) event(v bson.RawValue, e *event) {
	d.embedded(v, 5, []field{
		{"seq", &e.Seq}, {"type", &e.Type}, {"owner", &e.Owner}, {"token", &e.Token}, {"at", &e.At},
		{"reason", &e.Reason},
	})
}

func (d *decoder) metaPair(v bson.RawValue, p *metaPair) {
	d.embedded(v, 2, []field{{"k", &p.Key}, {"v", &p.Value}})
}
