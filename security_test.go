/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/pkg/mongolock"
)

// testSecureStore runs the operator on a MongoDB with TLS and users.
func (c *cluster) testSecureStore(t *testing.T) {
	m := startSecureMongoDB(t)
	t.Run("refusals", func(t *testing.T) { c.testRefusals(t, m) })
	t.Run("rotation", func(t *testing.T) { c.testRotation(t, m) })
	t.Run("expired password", func(t *testing.T) { c.testExpiredPassword(t, m) })
}

// What is wrong with a connection shows in the objects.
func (c *cluster) testRefusals(t *testing.T, m *secureMongoDB) {
	m.createUser(t, "right", "hunter2-right")
	// The reasons alternate, so that each is seen to come.
	for _, tt := range []struct{ name, uri, reason string }{
		{"right password", m.uri(t, url.UserPassword("right", "hunter2-right"), nil), "Mirrored"},
		{"wrong password", m.uri(t, url.UserPassword("right", "hunter2-wrong"), nil), "StoreUnauthorized"},
		{"another authority", m.uri(t, url.UserPassword("right", "hunter2-right"), url.Values{"tls": {"true"}, "tlsCAFile": {c.authority(t)}}), "StoreUnreachable"},
		{"unknown user", m.uri(t, url.UserPassword("nobody", "hunter2-right"), nil), "StoreUnauthorized"},
		{"without TLS", m.uri(t, url.UserPassword("right", "hunter2-right"), url.Values{"directConnection": {"true"}}), "StoreUnreachable"},
		{"no user", m.uri(t, nil, nil), "StoreUnauthorized"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := c.start(t, nil, append([]string{"--mongodb-uri-file=" + writeFile(t, tt.uri)}, shortLease...)...)
			waitForReason(t, tt.reason)
			o.stop(t, 0)
		})
	}
}

// authority is the file of an authority that has nothing to do with MongoDB.
func (c *cluster) authority(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	certificate, _ := selfSigned(t, "elsewhere")
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The password in the mounted Secret is replaced while the old one still works: the process goes on with the new one, writes nothing but
// what shows that it leads again, says nothing twice and leaves nothing running.
func (c *cluster) testRotation(t *testing.T, m *secureMongoDB) {
	const database = "rotation"
	users := []*url.Userinfo{url.UserPassword("even", "hunter2-even"), url.UserPassword("odd", "hunter2-odd")}
	for _, user := range users {
		password, _ := user.Password()
		m.createUser(t, user.Username(), password)
	}
	secret := mount(t, m.uri(t, users[0], nil))
	o := c.start(t, nil, "--mongodb-uri-file="+secret.file(), "--mongodb-database="+database, "--metrics-secure=false", "--leader-election-retry-period=500ms")
	locks := connectTo(t, m.server.Address(), database)
	if _, err := locks.TryLock(t.Context(), "default/nightly-report", mongolock.WithOwner("worker"), mongolock.WithLease(time.Minute)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "default", "nightly-report", "Held=true")
	waitForReason(t, "Mirrored")
	grants := c.grants(t, locks)
	before := shown(t)

	rotate := func(i int) {
		t.Helper()
		secret.replace(t, m.uri(t, users[i%2], nil))
		grants++
		await(t, "the operator leads with the new password", func() bool {
			state, err := locks.Get(t.Context(), system+"/"+c.leader)
			return err == nil && state.Held() && state.Grants == grants
		})
		o.serves(t, "/readyz")
		waitForReason(t, "Mirrored")
	}
	// One that the server refuses does not take the place of one that works.
	secret.replace(t, m.uri(t, url.UserPassword("odd", "hunter2-not-yet"), nil))
	await(t, "the log tells of the password that is refused", func() bool { return strings.Contains(o.log(), "going on without it") })
	rotate(1)
	goroutines := o.metric(t, "go_goroutines")
	for i := 2; i <= 8; i++ {
		rotate(i)
	}
	const some = 5 // come and go with connections; fewer than the rotations, of which none may leave one behind
	await(t, "there are as many goroutines as before", func() bool { return o.metric(t, "go_goroutines") <= goroutines+some })
	if after := shown(t); after != before {
		t.Errorf("objects and events were\n%s\nand are\n%s", before, after)
	}
	if n := o.metric(t, `mongolock_status_writes_total{cause="store_failed"}`); n != 0 {
		t.Errorf("%v writes told of an outage", n)
	}
	o.stop(t, 0) // it is still the same process
}

// A password is changed on the server, and the server fails over before the Secret is changed too. The leader cannot renew and ends; the
// other replica tells of it and goes on when the Secret comes, in the same process. The locks stay with their holders.
func (c *cluster) testExpiredPassword(t *testing.T, m *secureMongoDB) {
	const database = "expired"
	m.createUser(t, "expiring", "hunter2-before")
	secret := mount(t, m.uri(t, url.UserPassword("expiring", "hunter2-before"), nil))
	locks := connectTo(t, m.server.Address(), database)
	if _, err := locks.TryLock(t.Context(), "default/nightly-report", mongolock.WithOwner("patient"), mongolock.WithLease(5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--mongodb-uri-file=" + secret.file(), "--mongodb-database=" + database}, shortLease...)
	leader := c.start(t, nil, args...)
	c.grants(t, locks)
	waitForReason(t, "Mirrored")
	standby := c.start(t, nil, args...)
	standby.serves(t, "/readyz")

	m.command(t, bson.D{{Key: "updateUser", Value: "expiring"}, {Key: "pwd", Value: "hunter2-after"}})
	if err := m.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	leader.ends(t, 1)
	waitForReason(t, "StoreUnauthorized")
	if owner := holderOf(t, "nightly-report"); owner != "patient" {
		t.Errorf("the status shows %q as the holder, want the last that was known", owner)
	}

	secret.replace(t, m.uri(t, url.UserPassword("expiring", "hunter2-after"), nil))
	waitForReason(t, "Mirrored")
	if owner := holderOf(t, "nightly-report"); owner != "patient" {
		t.Errorf("the status shows %q as the holder", owner)
	}
	standby.stop(t, 0) // it is still the same process
}

// grants waits until an operator leads, and returns how often one has been elected.
func (c *cluster) grants(t *testing.T, locks *mongolock.Client) (grants int64) {
	t.Helper()
	await(t, "an operator leads", func() bool {
		state, err := locks.Get(t.Context(), system+"/"+c.leader)
		grants = state.Grants
		return err == nil && state.Held()
	})
	return grants
}

func holderOf(t *testing.T, name string) string {
	t.Helper()
	return kubectl(t, "get", "dlock", name, "-n", "default", "-o", "jsonpath={.status.holder}")
}

// shown is the version of each object, and the events of each, but not of the one that shows who leads.
func shown(t *testing.T) string {
	t.Helper()
	const versions = `jsonpath={range .items[*]}{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`
	var kept []string
	for line := range strings.Lines(kubectl(t, "get", "dlock", "-A", "-o", versions) + kubectl(t, "get", "events", "-n", "default", "-o", versions)) {
		if !strings.HasPrefix(line, "operator ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// secureMongoDB is a MongoDB with TLS and users.
type secureMongoDB struct {
	server *servers.Server
	admin  *mongo.Client
}

func startSecureMongoDB(t *testing.T) *secureMongoDB {
	t.Helper()
	server, err := servers.StartSecureMongoDB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known.addURI(server.Address())
	admin, err := mongo.Connect(options.Client().ApplyURI(server.Address()))
	if err != nil {
		t.Fatal("the URI of the secure MongoDB cannot be used")
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		if err := admin.Disconnect(ctx); err != nil {
			t.Error(err)
		}
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &secureMongoDB{server, admin}
}

// uri is the server's URI for a user, with its own options unless others are given.
func (m *secureMongoDB) uri(t *testing.T, user *url.Userinfo, options url.Values) string {
	t.Helper()
	uri, err := url.Parse(m.server.Address())
	if err != nil {
		t.Fatal("the URI of the secure MongoDB cannot be parsed")
	}
	if options == nil {
		options = uri.Query()
	}
	options.Set("serverSelectionTimeoutMS", "1000")
	uri.User, uri.RawQuery = user, options.Encode()
	known.addURI(uri.String())
	return uri.String()
}

func (m *secureMongoDB) createUser(t *testing.T, name, password string) {
	t.Helper()
	m.command(t, bson.D{{Key: "createUser", Value: name}, {Key: "pwd", Value: password},
		{Key: "roles", Value: bson.A{bson.D{{Key: "role", Value: "readWriteAnyDatabase"}, {Key: "db", Value: "admin"}}}}})
}

func (m *secureMongoDB) command(t *testing.T, command bson.D) {
	t.Helper()
	if err := m.admin.Database("admin").RunCommand(t.Context(), command).Err(); err != nil {
		t.Fatal(err)
	}
}

// mounted is a folder in which a file is kept as Kubernetes keeps a mounted Secret: the file is a link into the link ..data, which is
// replaced as a whole.
type mounted struct{ dir string }

func mount(t *testing.T, content string) mounted {
	t.Helper()
	m := mounted{t.TempDir()}
	if err := os.Symlink(filepath.Join("..data", "uri"), m.file()); err != nil {
		t.Fatal(err)
	}
	m.replace(t, content)
	return m
}

func (m mounted) file() string { return filepath.Join(m.dir, "uri") }

func (m mounted) replace(t *testing.T, content string) {
	t.Helper()
	data := filepath.Join(m.dir, "..data")
	old, _ := os.Readlink(data) // none at first
	version := filepath.Join(m.dir, "..version-"+rand.Text())
	if err := os.Mkdir(version, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(version, "uri"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Base(version), data+"_tmp"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(data+"_tmp", data); err != nil {
		t.Fatal(err)
	}
	if old != "" {
		if err := os.RemoveAll(filepath.Join(m.dir, old)); err != nil {
			t.Fatal(err)
		}
	}
}

// metric reads one line of the operator's metrics, which are served without TLS; 0 if there is no such line.
func (o *operator) metric(t *testing.T, name string) (value float64) {
	t.Helper()
	status, body, err := scrape(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+o.metrics+"/metrics", "")
	if err != nil || status != http.StatusOK {
		t.Fatalf("metrics: %d %v", status, err)
	}
	return metricIn(t, body, name)
}
