//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// The ways of a link: to the store of the locks, and to the feed.
const (
	toStore = iota
	toFeed
	ways
)

// link is a candidate's connection to the network, which can be broken.
type link [ways]*toxiproxy.Proxy

func newLink(name string, upstreams [ways]string) (*link, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &link{}
	for way, upstream := range upstreams {
		l[way] = toxiproxy.NewProxy(server, fmt.Sprintf("%s-%d", name, way), "127.0.0.1:0", upstream)
		if err := l[way].Start(); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

// address is where the candidate connects to.
func (l *link) address(way int) string { return l[way].Listen }

// through is a URI of a server behind a link.
func (l *link) through(way int, uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", err
	}
	u.Host = l.address(way)
	return u.String(), nil
}

// blackhole keeps the connections, and lets nothing through.
func (l *link) blackhole() error {
	for _, proxy := range l {
		for _, stream := range []string{"upstream", "downstream"} {
			toxic := fmt.Sprintf(`{"name": %q, "type": "timeout", "stream": %q, "attributes": {"timeout": 0}}`, stream, stream)
			if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
				return err
			}
		}
	}
	return nil
}

// heal ends a blackhole.
func (l *link) heal(ctx context.Context) {
	for _, proxy := range l {
		proxy.Toxics.ResetToxics(ctx)
	}
}

// refuse ends all connections of a way and refuses new ones, until accept is called.
func (l *link) refuse(way int) { l[way].Stop() }

// accept ends refuse.
func (l *link) accept(way int) error {
	if err := l[way].Start(); !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
		return err
	}
	return nil
}

func (l *link) close() {
	for _, proxy := range l {
		if proxy != nil {
			proxy.Stop()
		}
	}
}

// hostOf is the host and port of a URI.
func hostOf(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", err
	}
	return u.Host, nil
}
