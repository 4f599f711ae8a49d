/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"iter"
	"strings"
)

// listPage is how many locks are read at a time.
const listPage = 500

// Get reads a lock from the primary. A lock that was never acquired, or was purged, has Exists false and is no error. It may return
// [ErrInvalid], [ErrClosed], [ErrForeignDocument], [ErrUnreachable], [ErrUnauthorized].
func (c *Client) Get(ctx context.Context, id string) (State, error) {
	if err := validateID(id); err != nil {
		return State{}, err
	}
	ctx, finish, err := c.begin(ctx)
	if err != nil {
		return State{}, err
	}
	defer finish()
	docs, err := c.read(ctx, query{ids: []string{id}})
	switch {
	case err != nil:
		return State{}, err
	case len(docs) == 0:
		return State{ID: id}, nil
	case docs[0].foreign != nil:
		return State{}, docs[0].foreign
	}
	return docs[0].state(), nil
}

// ListOption narrows [Client.List].
type ListOption func(*query)

// WithPrefix lists only locks whose ids begin with prefix.
func WithPrefix(prefix string) ListOption { return func(q *query) { q.prefix = prefix } }

// WithIDs lists only these locks, those of them that exist; without ids none. In contrast to the other options it also yields foreign
// documents that are stored under these ids.
func WithIDs(ids ...string) ListOption {
	ids = append([]string{}, ids...) // never nil, which would mean all
	return func(q *query) { q.ids = ids }
}

// HeldOnly lists only locks that are held, by the server's clock.
func HeldOnly() ListOption { return func(q *query) { q.heldOnly = true } }

// List reads the locks in order of their ids, page by page: each page is one moment's picture, the whole is not. It ends after the
// first error other than [ErrForeignDocument], which concerns one document only. Errors are those of [Client.Get].
func (c *Client) List(ctx context.Context, opts ...ListOption) iter.Seq2[State, error] {
	q := query{limit: listPage}
	for _, o := range opts {
		o(&q)
	}
	return func(yield func(State, error) bool) {
		q := q // each use begins at the first page
		if q.ids != nil && len(q.ids) == 0 {
			return
		}
		for {
			docs, err := c.readPage(ctx, q)
			if err != nil {
				yield(State{}, err)
				return
			}
			for i := range docs {
				if strings.HasPrefix(docs[i].ID, scratchPrefix) {
					continue
				}
				state := docs[i].state()
				if docs[i].foreign != nil {
					state = State{ID: docs[i].ID}
				} else if q.heldOnly && !state.Held() {
					continue
				}
				if !yield(state, docs[i].foreign) {
					return
				}
			}
			if len(docs) < listPage {
				return
			}
			q.after = docs[len(docs)-1].ID
		}
	}
}

// readPage is an operation of its own, so that Close does not wait for what the caller does between two pages.
func (c *Client) readPage(ctx context.Context, q query) ([]document, error) {
	ctx, finish, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer finish()
	return c.read(ctx, q)
}

// read is a bounded find; a failed one is repeated once, because reading twice does no harm.
func (c *Client) read(ctx context.Context, q query) ([]document, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	docs, err := c.readAttempt(ctx, q)
	if err != nil && isTransient(err) && !over(ctx) {
		docs, err = c.readAttempt(ctx, q)
	}
	if err != nil && over(ctx) {
		return nil, joinEnded(ctx, err)
	}
	return docs, err
}

func (c *Client) readAttempt(ctx context.Context, q query) ([]document, error) {
	ctx, cancel := context.WithTimeout(ctx, maxAttempt)
	defer cancel()
	return c.store.find(ctx, q)
}
