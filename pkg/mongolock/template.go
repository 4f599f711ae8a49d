/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// maxTemplates is how many templates are kept; clients use a few.
const maxTemplates = 64

// templates are pipelines of one stage that were marshalled before. To build and to marshal the one of an acquire takes a client more
// time than all else that it does about it, and from one acquire to the next only the holder's id differs, which is always as long.
type templates struct {
	mu    sync.Mutex
	byKey map[string]*template
}

// template is a marshalled stage, and where in it the id and the token of a grant belong.
type template struct {
	stage       []byte
	ids, tokens []int
}

// The marks stand for the id and the token while a template is made. They are random, so that nothing that a caller supplies, such as
// the owner, can be taken for one.
var (
	markID    = newHolderID()
	markToken = randomToken()
)

func randomToken() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return int64(binary.LittleEndian.Uint64(b[:]) >> 1)
}

// acquire is acquirePipeline.
func (t *templates) acquire(a acquisition) any {
	if len(a.meta) > 0 || len(a.holderID) != len(markID) {
		return acquirePipeline(a)
	}
	id := a.holderID
	a.holderID = markID
	return t.get("acquire "+strconv.FormatInt(a.leaseMS, 10)+" "+a.owner, 0, func() bson.A { return acquirePipeline(a) }).fill(id, 0)
}

// release is releasePipeline.
func (t *templates) release(g grant) any {
	if len(g.holderID) != len(markID) {
		return releasePipeline(g)
	}
	marked := grant{grantRef: grantRef{holderID: markID}, owner: g.owner, token: markToken}
	return t.get("release "+g.owner, 2, func() bson.A { return releasePipeline(marked) }).fill(g.holderID, g.token)
}

func (t *templates) get(key string, tokens int, pipeline func() bson.A) *template {
	t.mu.Lock()
	defer t.mu.Unlock()
	if found, ok := t.byKey[key]; ok {
		return found
	}
	if len(t.byKey) >= maxTemplates {
		clear(t.byKey)
	}
	made := newTemplate(pipeline()[0], tokens)
	t.byKey[key] = made
	return made
}

// newTemplate panics if the marks are not where they must be: with one that is left, all grants of the process would have the same id.
func newTemplate(stage any, tokens int) *template {
	raw := marshal(stage)
	mark := binary.LittleEndian.AppendUint64(nil, uint64(markToken)) //nolint:gosec // the same 8 bytes
	t := &template{stage: raw, ids: find(raw, []byte(markID)), tokens: find(raw, mark)}
	if len(t.ids) != 1 || len(t.tokens) != tokens {
		panic("mongolock: a pipeline does not have the id and the token that its template needs")
	}
	return t
}

// fill is the pipeline for one grant, whose id is as long as the mark.
func (t *template) fill(id string, token int64) any {
	stage := bytes.Clone(t.stage)
	for _, at := range t.ids {
		copy(stage[at:at+len(markID)], id)
	}
	for _, at := range t.tokens {
		binary.LittleEndian.PutUint64(stage[at:], uint64(token)) //nolint:gosec // the same 8 bytes
	}
	return []bson.Raw{stage}
}

// find is where a pattern stands.
func find(in, pattern []byte) (at []int) {
	for i := 0; ; i += len(pattern) {
		next := bytes.Index(in[i:], pattern)
		if next < 0 {
			return at
		}
		i += next
		at = append(at, i)
	}
}

// marshal cannot fail on what this package makes.
func marshal(value any) bson.Raw {
	raw, err := bson.Marshal(value)
	if err != nil {
		panic("mongolock: " + err.Error())
	}
	return raw
}
