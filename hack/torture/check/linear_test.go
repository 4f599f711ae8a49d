//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/mongolock/operator/hack/torture/history"
)

func TestLinearizability(t *testing.T) {
	for name, c := range map[string]struct {
		tell func(*story)
		want []string
	}{
		"a look that shows the holder": {func(s *story) {
			s.unlock(s.grant(0, 10, 1), 50, 60)
			s.op(history.Get, 20, 30, func(op *history.Operation) { op.Tokens = []int64{1} })
			s.op(history.Get, 55, 58, nil)
		}, nil},
		"a look that shows a holder that is gone": {func(s *story) {
			s.unlock(s.grant(0, 10, 1), 50, 60)
			s.op(history.Get, 70, 80, func(op *history.Operation) { op.Tokens = []int64{1} })
		}, []string{"linearizability"}},
		"a look that misses the holder": {func(s *story) {
			s.unlock(s.grant(0, 10, 1), 50, 60)
			s.op(history.Get, 20, 30, nil)
		}, []string{"linearizability"}},
		"a release that succeeds twice": {func(s *story) {
			a := s.grant(0, 10, 1)
			s.unlock(a, 20, 30)
			s.unlock(a, 40, 50)
		}, []string{"linearizability"}},
		"an eviction after a release": {func(s *story) {
			a := s.grant(0, 10, 1)
			s.unlock(a, 20, 30)
			s.op(history.Evict, 40, 50, func(op *history.Operation) { op.Token = 1 })
		}, []string{"linearizability"}},
		"a release of which nobody was told": {func(s *story) {
			a := s.grant(0, 10, 1)
			s.op(history.Unlock, 20, 0, func(op *history.Operation) { op.Token, op.Grant, op.Outcome, op.Return = 1, a.ID, history.Unknown, 0 })
			s.unlock(s.grant(40, 50, 2), 60, 70)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			c.tell(s)
			s.expect(t, c.want...)
		})
	}
}

// TestRefusals: a refusal names a holder that is there.
func TestRefusals(t *testing.T) {
	s, a, b := twoGrants()
	s.look(30, nil, event(acquired, a))
	s.look(140, nil, event(released, a), event(acquired, b), event(released, b))
	refused := func(token int64, call, ret int) {
		s.op(history.Try, call, ret, func(op *history.Operation) { op.Outcome, op.Token = history.Refused, token })
	}
	refused(1, 30, 40)
	refused(2, 90, 100)
	s.expectAudited(t)
	refused(1, 91, 99)
	s.expectAudited(t, "linearizability")
}

// TestTwoUnknownEvictions: of two evictions of one grant whose callers were not told, one at most was carried out.
func TestTwoUnknownEvictions(t *testing.T) {
	s := newStory()
	s.look(0, nil)
	a := s.grant(5, 20, 1)
	for i := range 2 {
		s.op(history.Evict, 30+i, 0, func(op *history.Operation) { op.Outcome, op.Return, op.Token = history.Unknown, 0, 1 })
	}
	b := s.grant(40, 50, 2)
	s.unlock(b, 60, 70)
	s.look(80, nil, event(acquired, a), event(evicted, a), event(acquired, b), event(released, b))
	s.expectAudited(t)
}

// TestGrantToOneOfTwins: nobody claims a grant, and two who share its owner's name may have got it. It may be as early as the first of them.
func TestGrantToOneOfTwins(t *testing.T) {
	s := newStory()
	s.look(0, nil)
	for _, call := range []int{5, 200} {
		s.op(history.Wait, call, call+20, func(op *history.Operation) { op.Outcome, op.Owner = history.Refused, "twin" })
	}
	twin := history.Operation{Owner: "twin", Token: 1}
	b := s.grant(100, 120, 2)
	s.unlock(b, 130, 140)
	s.look(300, nil, event(acquired, twin), event(released, twin), event(acquired, b), event(released, b))
	s.expectAudited(t)
}

// random is a correct history: what a lock does at the moments in the middle of the calls.
func random(r *rand.Rand, n int) *story {
	s := newStory()
	s.look(0, nil)
	ms, token := 1, int64(0)
	call := func() (int, int) { // around the present
		return max(0, ms-1-r.IntN(4)), ms + 1 + r.IntN(4)
	}
	for range n {
		ms += 6
		token++
		from, to := call()
		g := s.grant(from, to, token)
		var events []history.Event
		events = append(events, event(acquired, g))
		if r.IntN(3) == 0 {
			ms += 4
			from, to = call()
			s.op(history.Try, from, to, func(op *history.Operation) { op.Outcome, op.Token = history.Refused, token })
		}
		ms += 6
		switch r.IntN(8) {
		case 0: // it dies, and its lease ends
			ms += 1100
			events = append(events, event("expired", g))
		case 1:
			from, to = call()
			s.op(history.Evict, from, to, func(op *history.Operation) { op.Token = token })
			events = append(events, event(evicted, g))
		default:
			from, to = call()
			s.unlock(g, from, to)
			events = append(events, event(released, g))
		}
		ms += 5
		s.look(ms, nil, events...)
	}
	s.End = at(ms + 100)
	return s
}

func TestCorrectHistoriesPass(t *testing.T) {
	for seed := range uint64(300) {
		s := random(rand.New(rand.NewPCG(seed, 1)), 40)
		if found := s.judge(true); len(found) > 0 {
			t.Fatalf("seed %d: the checks found %q", seed, found)
		}
	}
}

func TestSpoiltHistoriesFail(t *testing.T) {
	for name, spoil := range map[string]func(*story, int){
		"two tokens swapped": func(s *story, i int) {
			a, b := &s.Operations[i], &s.Operations[i]
			for k := range s.Operations[i+1:] {
				if b = &s.Operations[i+1+k]; b.Kind == history.Wait {
					break
				}
			}
			a.Token, b.Token = b.Token, a.Token
		},
		"an event lost": func(s *story, i int) {
			for k := range s.Looks {
				if e := s.Looks[k].Events; len(e) > 0 && e[0].Token == s.Operations[i].Token {
					s.Looks[k].Events = e[1:]
				}
			}
		},
		"a grant moved before its release": func(s *story, i int) { s.Operations[i].Call -= 30e6; s.Operations[i].Return -= 30e6 },
		"a grant forgotten":                func(s *story, i int) { s.Operations[i].Owner = "nobody" },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(50) {
				r := rand.New(rand.NewPCG(seed, 2))
				s := random(r, 40)
				i := 10 + r.IntN(20)
				for s.Operations[i].Kind != history.Wait {
					i++
				}
				spoil(s, i)
				if len(s.judge(true)) == 0 {
					t.Fatalf("seed %d: nothing was found", seed)
				}
			}
		})
	}
}

// TestSmallestWindow: of a long history the window is a few operations around the fault, and can be drawn.
func TestSmallestWindow(t *testing.T) {
	s := random(rand.New(rand.NewPCG(1, 1)), 300)
	last := s.Operations[len(s.Operations)/2]
	s.op(history.Get, 0, 0, func(op *history.Operation) { op.Call, op.Return, op.Tokens = last.Return, last.Return+1, []int64{1} })
	verdict := Judge(&s.History, Rules{Patience: 1e10})
	if len(verdict.Violations) != 1 || verdict.Violations[0].Check != "linearizability" {
		t.Fatalf("found %+v, want one violation of linearizability", verdict.Violations)
	}
	v := verdict.Violations[0]
	path := filepath.Join(t.TempDir(), "window.html")
	if err := Draw(&s.History, Rules{Patience: 1e10}, v, path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("no picture: %v", err)
	}
}

func BenchmarkJudge(b *testing.B) {
	s := random(rand.New(rand.NewPCG(1, 1)), 20_000)
	for b.Loop() {
		if found := s.judge(true); len(found) > 0 {
			b.Fatal(found)
		}
	}
}
