//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/mongolock/operator/hack/torture/history"
)

// What a call does to a lock, in the model.
const (
	doAcquire = "acquire"
	doRelease = "release" // also by an eviction
	doDoubt   = "doubt"   // the grant may or may not be there any more
	doName    = "name"    // a refusal named the holder
	doShow    = "show"    // a look showed all holders
)

// call is an operation of the model. It carries what the history as a whole tells of it, so that a step is a function of state and call.
type call struct {
	do     string
	id     string
	token  int64
	tokens []int64 // of a look
	shared bool
	// doubtful tells that nobody claims the grant: it may end at any time.
	doubtful bool
	// returned is the end of the call: what may have expired by then may be gone.
	returned history.Stamp
}

// entry is a holder in the model's state.
type entry struct {
	token    int64
	shared   bool
	doubtful bool
}

// state of a lock: the holders that were not seen to end, and the largest token so far. It is never changed, but replaced.
type state struct {
	holders []entry
	largest int64
}

// model is the lock as it should be, of one lock's history.
type model struct {
	capacity int
	// expired is when a grant may have ended by itself, by token; see grant.expired.
	expired map[int64]history.Stamp
	// forget is when a grant is certainly gone, by token, unless the clock was moved.
	forget map[int64]history.Stamp
	// known are the tokens whose acquisition is in the history. Unless it is complete, all others may have been there before it began.
	known    map[int64]bool
	complete bool
	whole    *model // of the whole history, if this is that of a part
}

func (m *model) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, input, _ any) (bool, any) {
			next, ok := m.step(s.(state), input.(*call))
			return ok, next
		},
		Equal: func(a, b any) bool {
			x, y := a.(state), b.(state)
			return x.largest == y.largest && slices.Equal(x.holders, y.holders)
		},
		DescribeOperation: func(input, _ any) string { return input.(*call).String() },
		DescribeState:     func(s any) string { return fmt.Sprintf("%+v", s) },
	}
}

func (c *call) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %d %v", c.id, c.do, c.token, c.tokens))
}

func (m *model) step(s state, c *call) (state, bool) {
	i := slices.IndexFunc(s.holders, func(e entry) bool { return e.token == c.token })
	present := i >= 0 || c.token != 0 && m.unseen(c.token)
	switch c.do {
	case doAcquire:
		return m.acquire(s, c)
	case doRelease:
		if i >= 0 {
			return state{slices.Delete(slices.Clone(s.holders), i, i+1), s.largest}, true
		}
		return s, present
	case doDoubt:
		if i >= 0 && !s.holders[i].doubtful {
			next := slices.Clone(s.holders)
			next[i].doubtful = true
			return state{next, s.largest}, true
		}
		return s, true
	case doName:
		return s, present
	}
	return s, m.shows(s, c)
}

// acquire is allowed if all who are in the way may be gone when the call returns. Those are then gone.
func (m *model) acquire(s state, c *call) (state, bool) {
	if c.token <= s.largest {
		return s, false
	}
	next := state{largest: c.token}
	sure := 0
	for _, e := range s.holders {
		over := m.over(e, c)
		switch {
		case e.shared && c.shared:
			if !over {
				sure++
			}
			if c.returned < m.forget[e.token] { // one that is over may yet be shown, or released
				next.holders = append(next.holders, e)
			}
		case !over:
			return s, false
		}
	}
	if c.shared && sure >= m.capacity {
		return s, false
	}
	next.holders = append(next.holders, entry{c.token, c.shared, c.doubtful})
	return next, true
}

// shows is allowed if all that were shown may be there, and all others may be gone.
func (m *model) shows(s state, c *call) bool {
	for _, e := range s.holders {
		if !slices.Contains(c.tokens, e.token) && !m.over(e, c) {
			return false
		}
	}
	for _, token := range c.tokens {
		there := slices.ContainsFunc(s.holders, func(e entry) bool { return e.token == token })
		if !there && !m.unseen(token) {
			return false
		}
	}
	return true
}

// unseen tells whether a token may have been granted without being in the history.
func (m *model) unseen(token int64) bool {
	if m.whole != nil && m.whole.complete && !m.whole.known[token] {
		return false
	}
	return !m.complete && !m.known[token]
}

// over tells whether a holder may have ended without a release before a call returned.
func (m *model) over(e entry, c *call) bool { return e.doubtful || m.expired[e.token] <= c.returned }
