/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mongolock/operator/hack/servers/servertest"
)

// testMetrics: metrics are for those whom the API server lets read them.
func (c *cluster) testMetrics(t *testing.T, o *operator) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	ask := func(token string) (int, string) {
		status, body, err := scrape(t, client, "https://"+o.metrics+"/metrics", token)
		if err != nil {
			t.Fatal(err)
		}
		return status, body
	}
	if status, _ := ask(""); status != http.StatusUnauthorized {
		t.Errorf("metrics without a token: %d", status)
	}
	if status, _ := ask(c.token); status != http.StatusForbidden {
		t.Errorf("metrics with a token without the right: %d", status)
	}
	kubectl(t, "create", "serviceaccount", "scraper", "-n", system)
	kubectl(t, "create", "clusterrolebinding", "scraper", "--clusterrole=mongolock-metrics-reader", "--serviceaccount="+system+":scraper")
	token := strings.TrimSpace(kubectl(t, "create", "token", "scraper", "-n", system))
	known.add("a scraper's token", token)
	var body string
	await(t, "metrics with a token that has the right", func() bool {
		var status int
		status, body = ask(token)
		return status == http.StatusOK
	})
	for _, line := range []string{"mongolock_store_up 1", `mongolock_transitions_total{type="acquired"}`, `mongolock_status_writes_total{cause="mirror"}`,
		"mongolock_feed_lag_seconds_count", `leader_election_master_status{name="mongolock-system/` + c.leader + `"} 1`} {
		if !strings.Contains(body, line) {
			t.Errorf("no %q in the metrics", line)
		}
	}
	// Not without TLS, not with an old one, and not over HTTP/2.
	if status, body, err := scrape(t, client, "http://"+o.metrics+"/metrics", token); err == nil && status != http.StatusBadRequest {
		t.Errorf("metrics without TLS: %d %s", status, body)
	}
	if state, err := handshake(o.metrics, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Errorf("metrics over TLS version %x", state.Version)
	}
	state, err := handshake(o.metrics, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil || state.Version < tls.VersionTLS12 || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("TLS version %x, protocol %q: %v", state.Version, state.NegotiatedProtocol, err)
	}
}

// A certificate of one's own is served, and the one that replaces it, to who checks that it is this one and for that name.
func (c *cluster) testMetricsCertificate(t *testing.T) {
	dir := t.TempDir()
	var trusted *x509.CertPool
	write := func(name string) {
		certificate, key := selfSigned(t, name)
		trusted = x509.NewCertPool()
		trusted.AppendCertsFromPEM(certificate)
		for file, content := range map[string][]byte{"m.key": key, "m.crt": certificate} {
			if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("first")
	o := c.start(t, nil, "--mongodb-uri-file="+writeFile(t, servertest.MongoDBURI()), "--mongodb-database="+servertest.Database(t),
		"--metrics-cert-path="+dir, "--metrics-cert-name=m.crt", "--metrics-cert-key=m.key")
	o.serves(t, "/readyz")
	served := func(name string) bool {
		_, err := handshake(o.metrics, &tls.Config{RootCAs: trusted, ServerName: name})
		return err == nil
	}
	await(t, "the certificate is served", func() bool { return served("first") })
	write("second")
	await(t, "the new certificate is served", func() bool { return served("second") })
	o.stop(t, 0)

	o = c.start(t, nil, "--metrics-cert-path="+t.TempDir())
	o.ends(t, 1)
	if !strings.Contains(o.log(), "--metrics-cert-path") {
		t.Errorf("the log does not name the flag:\n%s", o.log())
	}
}

// scrape makes a request, with a token if there is one.
func scrape(t *testing.T, client *http.Client, address, token string) (status int, body string, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// metricIn is the value of one line of metrics; 0 if there is no such line.
func metricIn(t *testing.T, body, name string) float64 {
	t.Helper()
	for line := range strings.Lines(body) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	return 0
}

func handshake(address string, config *tls.Config) (tls.ConnectionState, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: soon}, "tcp", address, config)
	if err != nil {
		return tls.ConnectionState{}, fmt.Errorf("handshake: %w", err)
	}
	return conn.ConnectionState(), conn.Close()
}

// selfSigned makes a certificate and its key, in PEM.
func selfSigned(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	known.add("a certificate's key", string(key))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key
}
