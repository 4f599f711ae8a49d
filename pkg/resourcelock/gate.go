/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/mongolock/operator/pkg/mongolock"
)

// WrapTransport is a write gate for Kubernetes clients: give it to rest.Config.Wrap. While this process leads, and before it has led for
// the first time, all requests pass. Once a term is over, lost or given up, requests that write fail with an error that matches
// [mongolock.ErrLeaseLost], until the next term begins; those under way when it ends are cancelled. The gate knows the end of the lease by
// itself, with the elector stuck and the network dead. Reads pass always, and so do Events, which only tell, the reviews of tokens and
// access, which only ask, and Leases, as one of them may be the other half of a [Composite].
//
// It is a second line of defence, and no proof: a request that has left the process can arrive after the term. Only the one who receives
// it could refuse it, by the fencing token.
func (l *Lock) WrapTransport(base http.RoundTripper) http.RoundTripper {
	return &gate{lock: l, base: base}
}

type gate struct {
	lock *Lock
	base http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (g *gate) RoundTrip(request *http.Request) (*http.Response, error) {
	if !writes(request) {
		return g.base.RoundTrip(request)
	}
	t := g.lock.current()
	if err := g.lock.closed(t); err != nil {
		if request.Body != nil {
			_ = request.Body.Close() // a RoundTripper has to, also when it fails
		}
		return nil, fmt.Errorf("resourcelock: %s: %s %s: %w", g.lock.id, request.Method, request.URL.Path, err)
	}
	if request.Header.Get("Upgrade") != "" {
		return g.base.RoundTrip(request) // its answer is a connection that both sides write to
	}
	ctx, cancel := context.WithCancelCause(request.Context())
	stop := t.whenEnded(func() { cancel(mongolock.ErrLeaseLost) })
	response, err := g.base.RoundTrip(request.WithContext(ctx))
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, mongolock.ErrLeaseLost) && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err) // some transports tell that the context ended, and not why
		}
		stop()
		cancel(nil)
		return nil, err
	}
	response.Body = &gatedBody{ReadCloser: response.Body, stop: func() { stop(); cancel(nil) }}
	return response, nil
}

// closed tells why the gate is closed, or nil.
func (l *Lock) closed(t *term) error {
	if t.live() != nil || !l.ledBefore.Load() {
		return nil
	}
	return fmt.Errorf("%w: the last term of leadership is over", mongolock.ErrLeaseLost)
}

// gatedBody ends the watch over a request when its answer has been read.
type gatedBody struct {
	io.ReadCloser
	stop func()
}

// Close implements [io.Closer].
func (b *gatedBody) Close() error {
	b.stop()
	return b.ReadCloser.Close()
}

// writes tells whether a request changes anything that matters. A path is /api/v1/… or /apis/<group>/<version>/…, and then
// [namespaces/<namespace>/]<resource>[/<name>…].
func writes(request *http.Request) bool {
	switch request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	path := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	if i := slices.IndexFunc(path, func(s string) bool { return s == "api" || s == "apis" }); i >= 0 { // behind a proxy there is more before
		path = path[i:]
	}
	if len(path) < 3 {
		return true
	}
	group, rest := "", path[2:]
	if path[0] == "apis" {
		group, rest = path[1], path[3:]
	}
	if len(rest) >= 3 && rest[0] == "namespaces" {
		rest = rest[2:]
	}
	switch group {
	case "authentication.k8s.io", "authorization.k8s.io":
		return false
	case "coordination.k8s.io":
		return len(rest) == 0 || rest[0] != "leases"
	case "", "events.k8s.io":
		return len(rest) == 0 || rest[0] != "events"
	}
	return true
}
