//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync/atomic"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/mongolock/operator/hack/faultproxy"
)

// counter stands between a candidate and all that it may ask, and counts: requests to kube-apiserver, and commands to MongoDB, both those
// to the locks and those to the feed. Candidates of all locks get the same three proxies, so that what one of them does not ask is counted
// rather than supposed.
type counter struct {
	mongoDB          [ways]*faultproxy.Proxy
	api              *http.Server
	requests, writes atomic.Int64
	kubeconfig       string // that leads through the counter
}

// asked is what a candidate has asked so far: everything, and of that the writes to kube-apiserver.
type asked struct{ commands, apiWrites int64 }

func newCounter(s *stores) (*counter, error) {
	c := &counter{}
	for way, uri := range []string{s.mongoURI, s.feedURI} {
		var err error
		if c.mongoDB[way], err = faultproxy.Start(uri); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	if err := c.serve(s.kubeconfig); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// serve starts the proxy to kube-apiserver. It authenticates itself there as the administrator, and its clients do not.
func (c *counter) serve(kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		return err
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorLog: log.New(io.Discard, "", 0), // candidates are killed while they ask
	}
	c.api = &http.Server{ReadHeaderTimeout: settleTime, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			c.writes.Add(1)
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = c.api.Serve(listener) }() // ends with close, and says so
	file, err := os.CreateTemp("", "failover-kubeconfig-")
	if err != nil {
		return err
	}
	c.kubeconfig = file.Name()
	through := api.Config{
		Clusters:       map[string]*api.Cluster{"counted": {Server: "http://" + listener.Addr().String()}},
		Contexts:       map[string]*api.Context{"counted": {Cluster: "counted"}},
		CurrentContext: "counted",
	}
	return errors.Join(file.Close(), clientcmd.WriteToFile(through, c.kubeconfig))
}

// redirect leads a candidate through the counter.
func (c *counter) redirect(o *Orders) {
	o.Kubeconfig, o.Host, o.URI, o.FeedURI = c.kubeconfig, "", c.mongoDB[toStore].URI(), c.mongoDB[toFeed].URI()
}

// asked counts. Heartbeats of the driver do not count, as they are the same for whatever uses it.
func (c *counter) asked() asked {
	a := asked{c.requests.Load(), c.writes.Load()}
	for _, p := range c.mongoDB {
		for name, times := range p.Commands() {
			switch name {
			case "hello", "isMaster", "ismaster", "OP_QUERY":
			default:
				a.commands += int64(times)
			}
		}
	}
	return a
}

func (c *counter) close() (err error) {
	for _, p := range c.mongoDB {
		if p != nil {
			p.Close()
		}
	}
	if c.api != nil {
		err = c.api.Close()
	}
	if c.kubeconfig != "" {
		err = errors.Join(err, os.Remove(c.kubeconfig))
	}
	return err
}
