/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// aLock is a lock as the server returns it, with everything in it that our commands write: held, waited for, decided about.
func aLock(tb testing.TB) bson.Raw {
	tb.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	ends := now.Add(10 * time.Second)
	meta := []metaPair{{Key: "$k", Value: "v"}}
	raw, err := bson.Marshal(document{
		ID: "reports/nightly", V: schemaVersion, Policy: policy{Capacity: 3, MaxLease: 60_000, Retain: true}, Now: now, Place: 1, Queued: 1,
		State: lockState{
			Holders: []holder{
				{
					ID: "H1", Owner: "one", Mode: modeShared, Token: 6, Lease: 15_000, AcquiredAt: now.Add(-5 * time.Second),
					ExpiresAt: ends, Rev: 2, Meta: meta,
				},
				{
					ID: "H2", Owner: "two", Mode: modeShared, Token: 7, Lease: 15_000, AcquiredAt: now.Add(-time.Second),
					ExpiresAt: now.Add(14 * time.Second), Meta: meta, Pending: true,
				},
			},
			Waiters: []waiterDoc{{ID: "W", Owner: "three", Mode: modeExclusive, Lease: 15_000, Since: now, ExpiresAt: ends, Meta: meta}},
			Fence:   7, Grants: 3, Seq: 9, ChangedAt: now, EndsAt: &ends, PurgeAt: now.Add(time.Minute),
			Events: []event{
				{Seq: 8, Type: string(EventEvicted), Owner: "zero", Token: 5, At: now, Reason: "r"},
				{Seq: 9, Type: string(EventAcquired), Owner: "two", Token: 7, At: now},
			},
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// Whatever the server returns, decode says that it is a lock, that it is foreign, or that it cannot be one. It never panics, and what it
// calls a lock is one by the rules that the server's own comparisons follow.
func FuzzDecode(f *testing.F) {
	now := bson.E{Key: "now", Value: time.UnixMilli(1)}
	version := bson.E{Key: "v", Value: schemaVersion}
	holders := func(holders ...any) bson.E {
		return bson.E{Key: "state", Value: bson.D{{Key: "holders", Value: bson.A(holders)}}}
	}
	for _, value := range []any{
		aLock(f),
		stub("x", time.UnixMilli(1)),
		bson.D{},
		bson.D{{Key: "_id", Value: 1}},
		bson.D{{Key: "_id", Value: "x"}, {Key: "v", Value: "2"}, now},
		bson.D{{Key: "_id", Value: "x"}, {Key: "v", Value: 2.0}, holders(), now},
		bson.D{{Key: "_id", Value: "x"}, version, holders(1), now},
		bson.D{{Key: "_id", Value: "x"}, version, holders(bson.D{{Key: "expiresAt", Value: time.UnixMilli(2)}}), now},
		bson.D{{Key: "_id", Value: "x"}, {Key: "_id", Value: "y"}, version, holders(), now},
	} {
		raw, err := bson.Marshal(value)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, ok := decode(raw)
		id, isString := bson.Raw(raw).Lookup("_id").StringValueOK()
		switch {
		case ok != isString || ok && doc.ID != id:
			t.Fatalf("id %q, %t of a document with _id %q, %t", doc.ID, ok, id, isString)
		case !ok:
		case doc.foreign != nil:
			checkForeign(t, &doc)
		default:
			checkOurs(t, raw, &doc)
		}
	})
}

func checkForeign(t *testing.T, doc *document) {
	t.Helper()
	if !errors.Is(doc.foreign, ErrForeignDocument) || !strings.Contains(doc.foreign.Error(), strconv.Quote(doc.ID)) {
		t.Errorf("a document that is foreign for the reason %q", doc.foreign)
	}
	rest := *doc
	rest.ID, rest.Now, rest.foreign = "", time.Time{}, nil
	if got, want := fmt.Sprintf("%+v", rest), fmt.Sprintf("%+v", document{}); got != want {
		t.Errorf("a foreign document has %s", got)
	}
}

// checkOurs reads the document once more, by hand, and looks at whatever is made of it.
func checkOurs(t *testing.T, raw bson.Raw, doc *document) {
	t.Helper()
	if v := raw.Lookup("v"); classOf(v) != "number" || v.AsInt64() != schemaVersion {
		t.Errorf("version %s is taken for ours", v)
	}
	stored, isArray := raw.Lookup("state", "holders").ArrayOK()
	if !isArray {
		t.Fatalf("holders are %s", raw.Lookup("state", "holders"))
	}
	values, err := stored.Values()
	if err != nil || len(values) != len(doc.State.Holders) {
		t.Fatalf("%d holders, %v, of %d", len(values), err, len(doc.State.Holders))
	}
	held := false
	for i, h := range doc.State.Holders {
		entry, _ := values[i].DocumentOK()
		ends, isTime := entry.Lookup("expiresAt").TimeOK()
		if !isTime || !ends.Equal(h.ExpiresAt) || h.Mode != modeExclusive && h.Mode != modeShared || h.public().Lease < 0 {
			t.Errorf("holder %s is read as %+v", values[i], h)
		}
		held = held || h.ExpiresAt.After(doc.Now)
		if found, ok := doc.grant(h.ID); !ok || found.ID != h.ID {
			t.Errorf("holder %q is not found", h.ID)
		}
	}
	checkPictures(t, doc, held)
	checkAgain(t, doc)
}

// checkPictures: all that is shown of a document agrees about whether the lock is held.
func checkPictures(t *testing.T, doc *document, held bool) {
	t.Helper()
	state, refusal := doc.state(), doc.heldBy()
	if state.Held() != held || (refusal.Remaining > 0) != held || !state.Exists || state.ID != doc.ID {
		t.Errorf("held %t, but the state is %+v, the refusal %+v", held, state, refusal)
	}
	if !errors.Is(refusal, ErrHeld) || refusal.Error() == "" {
		t.Errorf("the refusal is %v", refusal)
	}
	if held && doc.worthAnotherLook(acquisition{}) {
		t.Error("a lock that is held is worth another look")
	}
	if to := doc.handedTo(); len(to) > len(state.Holders) {
		t.Errorf("handed over to %q of %d holders", to, len(state.Holders))
	}
	for _, e := range state.Events {
		if doc.exit(e.Type, e.Token) == exitUnknown {
			t.Errorf("event %+v is not found", e)
		}
	}
	for _, seen := range []mark{{}, doc.mark(), {seq: 1, token: 1}, {seq: math.MaxInt64}} {
		change := newChange(state, seen)
		if n := len(change.Events); change.Missed < 0 || n > len(state.Events) {
			t.Errorf("after %+v the change is %+v", seen, change)
		}
	}
}

// checkAgain: what was read, written and read again is the same.
func checkAgain(t *testing.T, doc *document) {
	t.Helper()
	whole := *doc
	if whole.State.Waiters == nil { // null would be foreign
		whole.State.Waiters = []waiterDoc{}
	}
	if whole.State.Events == nil {
		whole.State.Events = []event{}
	}
	if whole.Policy.MaxLease == 0 { // a document without a policy has a zero one, which no document has
		whole.Policy = Policy{}.stored()
	}
	raw, err := bson.Marshal(whole)
	if err != nil {
		t.Fatalf("%+v cannot be written: %v", whole, err)
	}
	again, ok := decode(raw)
	if got, want := sprint(&again), sprint(&whole); !ok || got != want {
		t.Errorf("read again it is\n%s\nit was\n%s", got, want)
	}
}

// sprint is all of a document. Times are in milliseconds, as years beyond 9999 have no other text that could be compared.
func sprint(doc *document) string {
	ends := "null"
	d := *doc
	if d.State.EndsAt != nil {
		ends = d.State.EndsAt.String()
		d.State.EndsAt = nil
	}
	return fmt.Sprintf("%+v ends %s", d, ends)
}

// classOf is the type of a value, as far as a server's comparisons and our documents mind it.
func classOf(v bson.RawValue) string {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		return "number"
	case bson.TypeDouble:
		if n := v.Double(); n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return "number"
		}
	}
	return v.Type.String()
}

// The kinds of damage that FuzzDecodeDamaged does to one field of a document.
const (
	damageReplace = iota
	damageRemove
	damageRepeat
	damageRename
	damageAdd
	damages
)

// A document of ours in which one field is not as our commands write it is never taken for a lock that nobody holds, and mostly not for a
// lock at all.
func FuzzDecodeDamaged(f *testing.F) {
	lock := aLock(f)
	paths := pathsOf(f, lock)
	seed := func(path string, damage uint8, key string, value any) {
		at := slices.Index(paths, path)
		v := marshal(bson.D{{Key: "", Value: value}}).Lookup("")
		if at < 0 {
			f.Fatalf("no path %s", path)
		}
		f.Add(uint16(at), damage, key, uint8(v.Type), v.Value)
	}
	seed("state/holders/0/expiresAt", damageReplace, "", nil)
	seed("state/holders/0/expiresAt", damageReplace, "", bson.Timestamp{T: 1})
	seed("state/holders/1/expiresAt", damageReplace, "", int64(1))
	seed("state/holders/1/expiresAt", damageReplace, "", "2020-01-02T03:04:05.678Z")
	seed("state/holders/1/mode", damageReplace, "", "exclusiv")
	seed("state/holders/1/lease", damageReplace, "", int64(math.MaxInt64))
	seed("state/holders/0", damageReplace, "", nil)
	seed("state/holders/0/expiresAt", damageRepeat, "", time.UnixMilli(0))
	seed("state/holders", damageRename, "", nil)
	seed("state/holders", damageAdd, "Holders", bson.A{})
	seed("state", damageAdd, "State", bson.D{{Key: "holders", Value: bson.A{}}})
	seed("state", damageAdd, "note", "somebody's")
	seed("policy/suspended", damageReplace, "", int32(0))
	seed("policy/capacity", damageReplace, "", 3.0)
	seed("policy/capacity", damageReplace, "", 2.5)
	seed("state/waiters", damageReplace, "", nil)
	seed("state/events/0/seq", damageReplace, "", int64(-1))
	seed("state/endsAt", damageReplace, "", nil)
	seed("now", damageReplace, "", nil)
	seed("v", damageReplace, "", int64(1<<32+schemaVersion))
	seed("_id", damageReplace, "", bson.Symbol("reports/nightly"))
	f.Fuzz(func(t *testing.T, at uint16, damage uint8, key string, kind uint8, data []byte) {
		value := bson.RawValue{Type: bson.Type(kind), Value: data}
		if !isValue(value) || strings.Contains(key, "\x00") {
			return
		}
		path := strings.Split(paths[int(at)%len(paths)], "/")
		d := damageOf(lock, path, damage%damages, key, value)
		doc, ok := decode(d.raw)
		what := func() string {
			return fmt.Sprintf("damage %d at %s, key %q, value %s", damage%damages, strings.Join(path, "/"), key, value)
		}
		switch {
		case !ok && path[0] != "_id":
			t.Errorf("%s: cannot be a lock", what())
		case !ok:
		case doc.foreign != nil && d.harmless:
			t.Errorf("%s: it is foreign", what())
		case doc.foreign == nil && d.grave:
			t.Errorf("%s: it is taken for a lock: %+v", what(), doc)
		case doc.foreign == nil:
			checkOurs(t, d.raw, &doc)
			if state := doc.state(); !d.frees && !state.Held() {
				t.Errorf("%s: nobody holds it: %+v", what(), state)
			}
		}
	})
}

// isValue tells whether a value is one, and nothing behind it.
func isValue(v bson.RawValue) bool {
	if v.Validate() != nil {
		return false
	}
	elements, err := marshal(bson.D{{Key: "", Value: v}}).Elements()
	return err == nil && len(elements) == 1 && bytes.Equal(elements[0].Value().Value, v.Value)
}

// damaged is a document, and what may be thought of it.
type damaged struct {
	raw      bson.Raw
	grave    bool // it cannot be a lock
	harmless bool // it is a lock
	frees    bool // it may be one that nobody holds
}

// optional are the fields that not every document or reply has.
var optional = []string{
	"policy", "state/waiters", "state/fence", "state/grants", "state/seq", "state/events", "state/changedAt", "state/endsAt", "state/purgeAt",
	"now", "place", "queued", "pending", "reason",
}

// nullable are the fields that may be null.
var nullable = []string{"endsAt", "meta"}

func damageOf(raw bson.Raw, path []string, damage uint8, key string, value bson.RawValue) damaged {
	name := path[len(path)-1]
	was := raw.Lookup(path...)
	_, err := strconv.Atoi(name)
	inArray := err == nil
	isOptional := slices.Contains(optional, name) || slices.Contains(optional, strings.Join(path, "/"))
	var d damaged
	d.raw = rebuild(raw, path, func(fields bson.D, i int) bson.D {
		switch damage {
		case damageReplace:
			fields[i].Value = value
			d.grave = classOf(was) != classOf(value) && (value.Type != bson.TypeNull || !slices.Contains(nullable, name))
			d.frees = name == "expiresAt" || name == "now" || name == "holders" || name == "state" || slices.Contains(path, "holders") && inArray
		case damageRemove:
			fields = slices.Delete(fields, i, i+1)
			d.grave = !isOptional && !inArray
		case damageRepeat:
			fields = append(fields, bson.E{Key: name, Value: value})
			d.grave = !inArray
		case damageRename:
			fields[i].Key = strings.ToUpper(name[:1]) + name[1:]
			d.grave = !isOptional && !inArray && fields[i].Key != name
		case damageAdd:
			there := slices.ContainsFunc(fields, func(e bson.E) bool { return e.Key == key })
			fields = append(fields, bson.E{Key: key, Value: value})
			d.grave = there && !inArray
			d.harmless = !inArray && !there && !isField(key)
		}
		return fields
	})
	return d
}

// isField tells whether a document of ours has a field of this name somewhere.
func isField(key string) bool {
	return slices.Contains(strings.Fields("_id v policy state now place queued capacity suspended maxLease retain holders waiters fence grants "+
		"seq events changedAt endsAt purgeAt id owner mode token lease acquiredAt expiresAt rev meta pending since k type at reason"), key)
}

// pathsOf are the paths of all that is in a document.
func pathsOf(tb testing.TB, raw bson.Raw) []string {
	tb.Helper()
	elements, err := raw.Elements()
	if err != nil {
		tb.Fatal(err)
	}
	var paths []string
	for _, e := range elements {
		paths = append(paths, e.Key())
		if v := e.Value(); v.Type == bson.TypeEmbeddedDocument || v.Type == bson.TypeArray {
			for _, below := range pathsOf(tb, v.Value) {
				paths = append(paths, e.Key()+"/"+below)
			}
		}
	}
	return paths
}

// rebuild is the document with the fields beside path, among which it is the i-th, changed.
func rebuild(raw bson.Raw, path []string, change func(fields bson.D, i int) bson.D) bson.Raw {
	elements, err := raw.Elements()
	if err != nil {
		panic(err)
	}
	fields, at := bson.D{}, -1
	for i, e := range elements {
		fields = append(fields, bson.E{Key: e.Key(), Value: e.Value()})
		if e.Key() == path[0] {
			at = i
		}
	}
	if len(path) == 1 {
		return marshal(change(fields, at))
	}
	below := elements[at].Value()
	fields[at].Value = bson.RawValue{Type: below.Type, Value: rebuild(below.Value, path[1:], change)}
	return marshal(fields)
}
