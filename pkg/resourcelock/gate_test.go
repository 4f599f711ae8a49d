/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mongolock/operator/pkg/mongolock"
)

// fakeTransport is in place of an API server: it answers, or waits until the request is cancelled.
type fakeTransport struct {
	started chan struct{} // nil: it answers
}

func (f fakeTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if f.started != nil {
		close(f.started)
		<-request.Context().Done()
		return nil, context.Cause(request.Context())
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

func send(t *testing.T, transport http.RoundTripper, method, path string) error {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "https://cluster"+path, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err == nil {
		err = response.Body.Close()
	}
	return err
}

func TestWriteGate(t *testing.T) {
	s := newStore(t)
	lock := newLock(t, s.client(), "a")
	transport := lock.WrapTransport(fakeTransport{})
	const pods = "/api/v1/namespaces/default/pods"
	expect := func(when string, open bool) {
		t.Helper()
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			if err := send(t, transport, method, pods); (err == nil) != open || err != nil && !errors.Is(err, mongolock.ErrLeaseLost) {
				t.Errorf("%s: %s returned %v", when, method, err)
			}
		}
		for _, passes := range [][2]string{
			{http.MethodGet, pods},
			{http.MethodPost, "/api/v1/namespaces/default/events"},
			{http.MethodPatch, "/apis/events.k8s.io/v1/namespaces/default/events/x"},
			{http.MethodPost, "/apis/authorization.k8s.io/v1/subjectaccessreviews"},
			{http.MethodPost, "/prefix/apis/authentication.k8s.io/v1/tokenreviews"},
		} {
			if err := send(t, transport, passes[0], passes[1]); err != nil {
				t.Errorf("%s: %s %s returned %v", when, passes[0], passes[1], err)
			}
		}
	}
	expect("a candidate", true)
	lead(t, lock)
	expect("a leader", true)
	if err := lock.Update(t.Context(), releaseRecord()); err != nil {
		t.Fatal(err)
	}
	expect("after the release", false)
	if _, _, err := lock.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("a candidate that has led", false)
	lead(t, lock)
	expect("a leader again", true)
	s.delete()
	if err := lock.Update(t.Context(), record("a")); err == nil {
		t.Fatal("renewed what is not there")
	}
	expect("after the loss", false)
	for path, want := range map[string]bool{"/apis/example.com/v1/events": true, "/x": true, "/api/v1/namespaces/events": true, "/api/v1/events": false} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://cluster"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if writes(request) != want {
			t.Errorf("%s is taken for a write: %t", path, !want)
		}
	}
}

// The gate closes by itself: no elector, no network. A request under way is cancelled.
func TestWriteGateClosesWithTheLease(t *testing.T) {
	lock := dead(t)
	started := make(chan struct{})
	transport := lock.WrapTransport(fakeTransport{started: started})
	result := make(chan error, 1)
	go func() { result <- send(t, transport, http.MethodPost, "/api/v1/namespaces/default/pods") }()
	within(t, slow, started, "the request")
	within(t, testLease, lock.Lost(), "Lost")
	if err := <-result; !errors.Is(err, mongolock.ErrLeaseLost) {
		t.Errorf("the request under way returned %v", err)
	}
}
