/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"
)

// What may have been carried out must never be taken for refused: that is how locks get two holders.
func TestClassify(t *testing.T) {
	const address = "mongodb://user:" + "pw" + "@db.example.invalid:27017"
	command := func(code int32, labels ...string) error {
		return mongo.CommandError{Code: code, Message: address, Labels: labels}
	}
	concern := &mongo.WriteConcernError{Code: 64, Message: address}
	cases := map[string]struct {
		err                error
		kind               error // nil: refused for a reason of the server's own
		applied, transient bool
	}{
		"disconnected":             {mongo.ErrClientDisconnected, ErrClosed, false, false},
		"no privilege":             {command(13), ErrUnauthorized, false, false},
		"wrong password":           {command(18), ErrUnauthorized, false, false},
		"Atlas":                    {command(8000), ErrUnauthorized, false, false},
		"privilege, wrapped":       {fmt.Errorf("handshake: %w", command(18)), ErrUnauthorized, false, false},
		"no server":                {topology.ServerSelectionError{Wrapped: errors.New(address)}, ErrUnreachable, false, true},
		"deadline":                 {context.DeadlineExceeded, ErrUnreachable, true, true},
		"cancelled":                {fmt.Errorf("driver: %w", context.Canceled), ErrUnreachable, true, true},
		"network":                  {command(0, "NetworkError"), ErrUnreachable, true, true},
		"socket":                   {&net.OpError{Op: "read", Err: errors.New(address)}, ErrUnreachable, true, true},
		"anything else":            {errors.New(address), ErrUnreachable, true, true},
		"server's time limit":      {command(50), ErrUnreachable, true, true},
		"internal":                 {command(1), ErrUnreachable, true, true},
		"stepped down":             {command(189), ErrUnreachable, true, true},
		"not primary":              {command(10107), ErrUnreachable, true, true},
		"not primary, not written": {command(10107, "NoWritesPerformed"), ErrUnreachable, false, true},
		"shutting down":            {command(91), ErrUnreachable, true, true},
		"write concern":            {mongo.WriteException{WriteConcernError: concern}, ErrUnreachable, true, true},
		"other write concern":      {mongo.WriteException{WriteConcernError: &mongo.WriteConcernError{Code: 100}}, ErrUnreachable, true, true},
		"bad pipeline":             {command(9), nil, false, false},
		"unknown operator":         {command(168), nil, false, false},
		"duplicate key":            {mongo.WriteException{WriteErrors: mongo.WriteErrors{{Code: 11000}}}, nil, false, false},
	}
	for name, tc := range cases {
		err := classify("acquire", tc.err)
		if tc.kind != nil && !errors.Is(err, tc.kind) {
			t.Errorf("%s: %v, want %v", name, err, tc.kind)
		}
		var e *storeError
		if !errors.As(err, &e) || tc.kind == nil && e.kind != nil {
			t.Errorf("%s: %v, want a storeError of kind %v", name, err, tc.kind)
		}
		if mayHaveApplied(err) != tc.applied || isTransient(err) != tc.transient {
			t.Errorf("%s: applied %t, transient %t; want %t, %t", name, mayHaveApplied(err), isTransient(err), tc.applied, tc.transient)
		}
		if strings.Contains(err.Error(), "example.invalid") || !strings.Contains(err.Error(), "acquire") || !strings.HasPrefix(err.Error(), "mongolock: ") {
			t.Errorf("%s: the text %q must name the operation and not repeat the driver's", name, err)
		}
		if again := fmt.Errorf("wrapped: %w", err); mayHaveApplied(again) != tc.applied || isTransient(again) != tc.transient {
			t.Errorf("%s: another answer when it is wrapped", name)
		}
	}
	if classify("acquire", nil) != nil || isTransient(nil) || mayHaveApplied(nil) || isTransient(ErrHeld) {
		t.Error("nil and other errors are not failed commands")
	}
}

func TestHeldError(t *testing.T) {
	now := time.Now()
	doc := document{ID: "x", Now: now, State: lockState{Holders: []holder{
		{Owner: "first", Token: 1, ExpiresAt: now.Add(time.Second)},
		{Owner: "last", Token: 2, ExpiresAt: now.Add(1500 * time.Millisecond), Meta: []metaPair{{"k", "v"}}},
	}}}
	err := error(doc.heldBy())
	var held *HeldError
	if !errors.Is(fmt.Errorf("wrapped: %w", err), ErrHeld) || errors.Is(err, ErrNotHeld) || !errors.As(err, &held) {
		t.Fatalf("%v does not match ErrHeld, or too much", err)
	}
	if held.Owner != "last" || held.Token != 2 || held.Remaining != 1500*time.Millisecond || held.Metadata["k"] != "v" {
		t.Errorf("%+v is not the holder that lasts longest", held)
	}
	if want := `mongolock: lock "x" is held by "last" with token 2 for another 1.5s unless renewed`; err.Error() != want {
		t.Errorf("text %q, want %q", err, want)
	}
	doc.Now = now.Add(time.Hour)
	if got := doc.heldBy().Remaining; got != 0 {
		t.Errorf("remaining %s after the end, want 0", got)
	}
}

// What a server lacks is told apart from a server that cannot be asked.
func TestUnsupported(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want error
	}{
		"wrong result": {nil, ErrUnsupportedServer},
		"refused":      {classify("acquire", mongo.CommandError{Code: 9}), ErrUnsupportedServer},
		"unreachable":  {errBroken("acquire"), ErrUnreachable},
		"no privilege": {errUnauthorized("acquire"), ErrUnauthorized},
		"foreign":      {foreignDocument("x"), ErrForeignDocument},
	} {
		err := unsupported("the feature", tc.err)
		if !errors.Is(err, tc.want) || errors.Is(err, ErrUnsupportedServer) != (tc.want == ErrUnsupportedServer) { //nolint:errorlint // a row of the table
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if errors.Is(err, ErrUnsupportedServer) && !strings.Contains(err.Error(), "the feature; use MongoDB 4.4") {
			t.Errorf("%s: %v, want the feature and the remedy", name, err)
		}
	}
}

// The self-test of a server sees by the reply to a refused try whether the lock was granted a second time, or the first grant touched.
func TestSelfTestSeesASecondGrant(t *testing.T) {
	now := time.Now()
	h := holder{ID: "first", Token: 7, ExpiresAt: now.Add(time.Minute)}
	longer, later := h, h
	longer.ExpiresAt, later.Token = now.Add(time.Hour), 8
	for name, tc := range map[string]struct {
		holders []holder
		want    bool
	}{
		"refused":                {[]holder{h}, true},
		"granted beside":         {[]holder{h, {ID: "second", Token: 8}}, false},
		"granted instead":        {[]holder{{ID: "second", Token: 8}}, false},
		"the first made longer":  {[]holder{longer}, false},
		"the first made a later": {[]holder{later}, false},
	} {
		d := document{State: lockState{Holders: tc.holders}}
		if got := d.heldAsBefore(h); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}

// Errors that a router or a retried write brings: the command may have been applied, and may be sent again.
func TestInterruptionsAreRepeated(t *testing.T) {
	for code, name := range map[int32]string{
		6: "HostUnreachable", 7: "HostNotFound", 89: "NetworkTimeout", 9001: "SocketException", 202: "NetworkInterfaceExceededTimeLimit",
		217: "IncompleteTransactionHistory", 11601: "Interrupted", 133: "FailedToSatisfyReadPreference", 462: "overload",
	} {
		err := classify("acquire", mongo.CommandError{Code: code, Name: name})
		if !isTransient(err) || !mayHaveApplied(err) {
			t.Errorf("%s: transient %v, may have been applied %v; want both", name, isTransient(err), mayHaveApplied(err))
		}
	}
	unknown := classify("acquire", mongo.CommandError{Code: 5637601})
	if isTransient(unknown) || !mayHaveApplied(unknown) {
		t.Errorf("a code in no list: transient %v, may have been applied %v; want the latter", isTransient(unknown), mayHaveApplied(unknown))
	}
}
