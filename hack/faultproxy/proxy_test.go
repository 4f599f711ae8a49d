/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package faultproxy

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"
)

var (
	find   = bson.D{{Key: "find", Value: "locks"}}
	update = bson.D{{Key: "update", Value: "locks"}}
)

func wantApplied(t *testing.T, s *fakeServer, want ...string) {
	t.Helper()
	if got := s.log(); !slices.Equal(got, want) {
		t.Fatalf("applied %v, want %v", got, want)
	}
}

func wantClosed(t *testing.T, c *client) {
	t.Helper()
	if _, err := c.receive(patience); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v, want the connection closed", err)
	}
}

func wantSilence(t *testing.T, c *client) {
	t.Helper()
	if n, err := c.receive(silence); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got reply %d, error %v, want silence on an open connection", n, err)
	}
}

func TestDropRequestNeverReachesTheServer(t *testing.T) {
	p, s := start(t)
	fault := p.Inject(Fault{Kind: DropRequest, Command: "update"})
	c := connect(t, p)
	c.mustAnswer(find)
	c.send(update)
	wantClosed(t, c)
	await(t, "fired", fault.Fired())
	await(t, "done", fault.Done())
	connect(t, p).mustAnswer(update) // spent
	wantApplied(t, s, "find", "update")
}

func TestDropReplyAppliesAndCloses(t *testing.T) {
	p, s := start(t)
	other := connect(t, p)
	fault := p.Inject(Fault{Kind: DropReply, Command: "update"})
	c := connect(t, p)
	c.send(update)
	wantClosed(t, c)
	await(t, "fired", fault.Fired())
	wantApplied(t, s, "update")
	other.mustAnswer(update) // another connection lives on, and the fault is spent
	await(t, "done", fault.Done())
	if fault.Count() != 1 {
		t.Fatalf("fired %d times, want 1", fault.Count())
	}
}

func TestHoldReplyAppliesAndStaysSilentUntilRelease(t *testing.T) {
	p, s := start(t)
	fault := p.Inject(Fault{Kind: HoldReply, Command: "update"})
	c := connect(t, p)
	c.send(update)
	await(t, "fired", fault.Fired())
	wantApplied(t, s, "update")
	wantSilence(t, c)
	fault.Release()
	fault.Release()
	if n, err := c.receive(patience); err != nil || n != 1 {
		t.Fatalf("after release: reply %d, error %v, want 1", n, err)
	}
	await(t, "done", fault.Done())
}

func TestHoldRequestIsAppliedLateThoughTheClientIsGone(t *testing.T) {
	p, s := start(t)
	fault := p.Inject(Fault{Kind: HoldRequest, Command: "update"})
	c := connect(t, p)
	c.send(update)
	await(t, "fired", fault.Fired())
	wantSilence(t, c)
	wantApplied(t, s)
	if err := c.conn.Close(); err != nil {
		t.Fatal(err)
	}
	connect(t, p).mustAnswer(find)
	fault.Release()
	await(t, "done", fault.Done())
	wantApplied(t, s, "find", "update")
}

func TestWithdrawLetsGoAndHitsNoMore(t *testing.T) {
	p, s := start(t)
	fault := p.Inject(Fault{Kind: HoldRequest, Command: "update", Times: 2})
	c := connect(t, p)
	c.send(update)
	await(t, "fired", fault.Fired())
	p.Withdraw(fault)
	if _, err := c.receive(patience); err != nil {
		t.Fatal(err)
	}
	c.mustAnswer(update)
	wantApplied(t, s, "update", "update")
	if fault.Count() != 1 {
		t.Errorf("hit %d commands, want 1", fault.Count())
	}
}

func TestHoldsEndByThemselves(t *testing.T) {
	for name, kind := range map[string]Kind{"request": HoldRequest, "reply": HoldReply} {
		t.Run(name, func(t *testing.T) {
			p, _ := start(t)
			p.Inject(Fault{Kind: kind, Command: "find", For: silence})
			c := connect(t, p)
			begin := time.Now()
			c.mustAnswer(find)
			if took := time.Since(begin); took < silence {
				t.Errorf("answered after %v, want at least %v", took, silence)
			}
		})
	}
}

func TestSkipTimesAndOrder(t *testing.T) {
	p, s := start(t)
	first := p.Inject(Fault{Kind: DropRequest, Command: "update", Skip: 1, Times: 2})
	second := p.Inject(Fault{Kind: DropReply, Command: "update", Skip: 1})
	var answered []bool
	for range 6 {
		c := connect(t, p)
		c.send(update)
		_, err := c.receive(patience)
		answered = append(answered, err == nil)
	}
	// The second fault sees only what the first one leaves: commands 1, 4, 5 and 6.
	if want := []bool{true, false, false, false, true, true}; !slices.Equal(answered, want) {
		t.Fatalf("answered %v, want %v", answered, want)
	}
	await(t, "first", first.Done())
	await(t, "second", second.Done())
	if first.Count() != 2 || second.Count() != 1 || len(s.log()) != 4 {
		t.Fatalf("fired %d and %d, applied %d; want 2, 1 and 4", first.Count(), second.Count(), len(s.log()))
	}
}

func TestMatchSeesBulkDataInTheCommand(t *testing.T) {
	p, s := start(t)
	p.Inject(Fault{Kind: DropRequest, Match: func(command bson.Raw) bool {
		id, err := command.LookupErr("updates", "1", "q", "_id")
		return err == nil && id.StringValue() == "b" && command.Lookup("$db").StringValue() == "dlocks"
	}})
	send := func(c *client, ids ...string) {
		var docs []byte
		for _, id := range ids {
			doc, err := bson.Marshal(bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: id}}}})
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, doc...)
		}
		sequence := append([]byte{byte(wiremessage.DocumentSequence), 0, 0, 0, 0}, "updates\x00"...)
		sequence = append(sequence, docs...)
		binary.LittleEndian.PutUint32(sequence[1:], uint32(len(sequence)-1))
		c.id++
		body := section(append(slices.Clone(update), bson.E{Key: "$db", Value: "dlocks"}))
		_, _ = c.conn.Write(frame(c.id, 0, body, sequence))
	}
	c := connect(t, p)
	send(c, "a", "c")
	if _, err := c.receive(patience); err != nil {
		t.Fatalf("not matching: %v", err)
	}
	send(c, "a", "b")
	wantClosed(t, c)
	wantApplied(t, s, "update")
}

func TestBlackholeKeepsConnectionsAndForwardsNothing(t *testing.T) {
	p, s := start(t)
	old := connect(t, p)
	old.mustAnswer(find)
	p.Blackhole()
	old.send(update)
	wantSilence(t, old)
	fresh := connect(t, p)
	fresh.send(update)
	wantSilence(t, fresh)
	wantApplied(t, s, "find")
	p.Heal()
	for _, c := range []*client{old, fresh} {
		if _, err := c.receive(patience); err != nil {
			t.Fatalf("after Heal: %v", err)
		}
	}
	wantApplied(t, s, "find", "update", "update")
}

func TestBlackholeHidesTheDeathOfTheServer(t *testing.T) {
	p, s := start(t)
	c := connect(t, p)
	c.mustAnswer(find)
	p.Blackhole()
	s.hangUp()
	wantSilence(t, c)
	p.Heal()
	wantClosed(t, c)
}

func TestRefuseClosesAndHealReopens(t *testing.T) {
	p, s := start(t)
	old := connect(t, p)
	old.mustAnswer(find)
	p.Refuse()
	wantClosed(t, old)
	fresh := connect(t, p)
	fresh.send(update)
	wantClosed(t, fresh)
	p.Heal()
	connect(t, p).mustAnswer(update)
	wantApplied(t, s, "find", "update")
}

func TestSeverResetsConnectionsAndGoesOnAccepting(t *testing.T) {
	p, s := start(t)
	reading, held := connect(t, p), connect(t, p)
	reading.mustAnswer(find)
	fault := p.Inject(Fault{Kind: HoldReply, Command: "update"})
	held.send(update)
	await(t, "fired", fault.Fired())
	if n := p.Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	p.Sever()
	if n := p.Connections(); n != 0 {
		t.Errorf("%d connections after Sever, want none", n)
	}
	for _, c := range []*client{reading, held} {
		if _, err := c.receive(patience); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("error %v, want a reset connection", err)
		}
	}
	await(t, "done", fault.Done())
	connect(t, p).mustAnswer(find)
	wantApplied(t, s, "find", "update", "find")
}

func TestSeverReachesIntoABlackhole(t *testing.T) {
	p, s := start(t)
	c := connect(t, p)
	c.mustAnswer(find)
	p.Blackhole()
	p.Sever()
	if _, err := c.receive(patience); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want a reset connection", err)
	}
	fresh := connect(t, p)
	fresh.send(update)
	wantSilence(t, fresh)
	p.Heal()
	if _, err := fresh.receive(patience); err != nil {
		t.Errorf("after Heal: %v", err)
	}
	wantApplied(t, s, "find", "update")
}

func TestConnectionsAreCounted(t *testing.T) {
	p, _ := start(t)
	wantConnections := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(patience); p.Connections() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d connections, want %d", p.Connections(), want)
			}
		}
	}
	wantConnections(0)
	a, b := connect(t, p), connect(t, p)
	wantConnections(2)
	a.mustAnswer(find)
	_ = a.conn.Close()
	wantConnections(1)
	b.mustAnswer(find)
	p.Refuse()
	wantConnections(0)
}

func TestResetRemovesFaultsAndCounts(t *testing.T) {
	p, _ := start(t)
	held := p.Inject(Fault{Kind: HoldReply, Command: "update"})
	p.Inject(Fault{Kind: DropRequest, Command: "find", Times: 5})
	c := connect(t, p)
	c.send(update)
	await(t, "fired", held.Fired())
	if got := p.Commands()["update"]; got != 1 {
		t.Fatalf("counted %d updates, want 1", got)
	}
	p.Blackhole()
	p.Reset()
	if _, err := c.receive(patience); err != nil {
		t.Fatalf("held reply after Reset: %v", err)
	}
	c.mustAnswer(find)
	if got := p.Commands(); len(got) != 1 || got["find"] != 1 {
		t.Fatalf("counts %v, want one find", got)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	p, s := start(t)
	request := p.Inject(Fault{Kind: HoldRequest, Command: "update"})
	reply := p.Inject(Fault{Kind: HoldReply, Command: "find"})
	a, b := connect(t, p), connect(t, p)
	a.send(update)
	b.send(find)
	await(t, "request held", request.Fired())
	await(t, "reply held", reply.Fired())
	p.Blackhole()
	connect(t, p).send(find)
	p.Close()
	p.Close()
	p.Heal()
	wantClosed(t, a)
	wantClosed(t, b)
	await(t, "request done", request.Done())
	await(t, "reply done", reply.Done())
	wantApplied(t, s, "find")
}

func TestMalformedRequestEndsTheConnection(t *testing.T) {
	empty, err := bson.Marshal(bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	cut := frame(1, 0, section(find))
	binary.LittleEndian.PutUint32(cut, uint32(len(cut)-3))
	for name, raw := range map[string][]byte{
		"length below the header": {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"length above the limit":  slices.Concat([]byte{0, 0, 0, 0x7f}, make([]byte, 12)),
		"no section":              frame(1, 0),
		"unknown section":         frame(1, 0, []byte{7, 0}),
		"command without a key":   frame(1, 0, append([]byte{0}, empty...)),
		"document cut short":      cut[:len(cut)-3],
	} {
		t.Run(name, func(t *testing.T) {
			p, s := start(t)
			c := connect(t, p)
			if _, err := c.conn.Write(raw); err != nil {
				t.Fatal(err)
			}
			wantClosed(t, c)
			wantApplied(t, s)
		})
	}
}

func TestTargets(t *testing.T) {
	p, err := Start("mongodb://someone:s3cret@127.0.0.1:1/admin?authSource=admin&replicaSet=rs0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want := "mongodb://someone:s3cret@" + p.Addr() + "/admin?authSource=admin&directConnection=true"
	if p.URI() != want {
		t.Errorf("URI %s, want %s", p.URI(), want)
	}
	for _, bad := range []string{
		"mongodb://u:s3cret@a:1,b:2/", "mongodb+srv://u:s3cret@a/", "mongodb://u:s3cret@a/", "mongodb://u:s3cret@a:x/",
		"mongodb://u:s3cret@a:1/?tls=true",
	} {
		if _, err := Start(bad); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error %v, want one that does not show the password", err)
		}
	}
}

func TestInjectRefusesAFaultWithoutKind(t *testing.T) {
	p, _ := start(t)
	defer func() {
		if recover() == nil {
			t.Error("no panic, want one")
		}
	}()
	p.Inject(Fault{Command: "find"})
}
