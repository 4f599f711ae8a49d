/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

var updateDocs = flag.Bool("update-docs", false, "write what the commands of docs/ print into the pages")

// page is a page of docs/ whose marked blocks are run. A mark is a comment before the block:
//
//	<!-- test: name -->
//	```console
//	$ kubectl get dlock
//	NAME ...
//	```
//
// Of a console block each command must print what stands below it, but for what differs from run to run, see likeness. A sh block must
// succeed. A yaml block is applied.
type page struct {
	path   string
	lines  []string
	run    map[string]bool
	config string // kubeconfig
}

var mark = regexp.MustCompile(`^<!-- test: (\S+) -->$`)

func readPage(t *testing.T, path string) *page {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return &page{path: path, lines: strings.Split(string(content), "\n"), run: map[string]bool{}, config: servertest.Kubeconfig()}
}

// block finds the lines of a block, without the fences.
func (p *page) block(t *testing.T, name string) (language string, first, end int) {
	t.Helper()
	for i, line := range p.lines {
		if m := mark.FindStringSubmatch(line); m == nil || m[1] != name {
			continue
		}
		language = strings.TrimPrefix(p.lines[i+1], "```")
		first = i + 2
		return language, first, first + slices.Index(p.lines[first:], "```")
	}
	t.Fatalf("%s: no block %q", p.path, name)
	return "", 0, 0
}

// do runs the blocks of these names, one after the other.
func (p *page) do(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		language, first, end := p.block(t, name)
		text := strings.Join(p.lines[first:end], "\n")
		switch language {
		case "yaml":
			if out, err := runKubectl(t.Context(), text, "apply", "--server-side", "-f", "-"); err != nil {
				t.Fatalf("%s: %s: %v\n%s", p.path, name, err, out)
			}
		case "sh":
			if out, err := p.shell(t, text); err != nil {
				t.Fatalf("%s: %s: %v\n%s", p.path, name, err, out)
			}
		case "console":
			p.console(t, name, first, end)
		default:
			t.Fatalf("%s: %s is in %q, which cannot be run", p.path, name, language)
		}
		p.run[name] = true
	}
}

// console runs the commands of a block. What they print may have been late: a status follows the lock.
func (p *page) console(t *testing.T, name string, first, end int) {
	t.Helper()
	block := slices.Clone(p.lines[first:end])
	var got []string
	done := map[string]string{} // what changes something is done once
	for deadline := time.Now().Add(soon); ; time.Sleep(4 * tick) {
		got = nil
		for _, line := range block {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				out, ok := done[command]
				if !ok {
					out, _ = p.shell(t, command) // a refusal is shown as well
				}
				if changes.MatchString(command) {
					done[command] = out
				}
				got = append(got, line)
				if out = strings.TrimRight(out, "\n"); out != "" {
					got = append(got, strings.Split(out, "\n")...)
				}
			}
		}
		switch {
		case likeness(strings.Join(got, "\n")) == likeness(strings.Join(block, "\n")):
			return
		case *updateDocs && time.Now().After(deadline.Add(-soon+8*time.Second)):
			p.lines = slices.Replace(p.lines, first, end, got...)
			if err := os.WriteFile(p.path, []byte(strings.Join(p.lines, "\n")), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		case time.Now().After(deadline):
			t.Fatalf("%s: %s shows\n%s\n\nand is in truth\n%s", p.path, name, strings.Join(block, "\n"), strings.Join(got, "\n"))
		}
	}
}

// changes are the commands that change something.
var changes = regexp.MustCompile(`^kubectl (annotate|apply|create|delete|patch) `)

// unlike are what differs from run to run, in the order in which it is replaced.
var unlike = []struct{ pattern, by string }{
	{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "TIME"},
	{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "UID"},
	{`operator-[0-9a-f]{8}`, "operator-CLUSTER"},
	{`\(x\d+ over \S+\)`, ""},
	{`\d{13,}`, "TOKEN"},
	{`(Resource Version: +)\d+`, "${1}VERSION"},
	{`(\s)(<invalid>|-?\d+(ms|[smhd])(\d+(ms|[smh]))*)(\s|$)`, "${1}AGE${5}"},
	{`(\s)(<invalid>|-?\d+(ms|[smhd])(\d+(ms|[smh]))*)(\s|$)`, "${1}AGE${5}"}, // two side by side share the space
	{`[ \t]+`, " "},
	{`-{2,}`, "--"},
	{` ?\n`, "\n"},
}

// likeness is what has to be equal in two runs.
func likeness(text string) string {
	text += "\n"
	for _, u := range unlike {
		text = regexp.MustCompile("(?m)"+u.pattern).ReplaceAllString(text, u.by)
	}
	return text
}

func (p *page) shell(t *testing.T, script string) (string, error) {
	t.Helper()
	path, err := servers.Kubectl()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"), "KUBECONFIG="+p.config)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// complete checks that every marked block was run.
func (p *page) complete(t *testing.T) {
	t.Helper()
	for i, line := range p.lines {
		if m := mark.FindStringSubmatch(line); m != nil && !p.run[m[1]] {
			t.Errorf("%s:%d: the block %q was not run", p.path, i+1, m[1])
		}
	}
}

// What the pages show is what the real operator does in a real API server.
func TestDocs(t *testing.T) {
	c := &cluster{}
	c.install(t)
	t.Cleanup(func() { c.forgetObjects(t) })
	t.Run("distributedlock", c.testPageDistributedLock)
	t.Run("operating", c.testPageOperating)
}

// forgetObjects deletes all objects. There may be no operator that takes the finalizers off.
func (c *cluster) forgetObjects(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
	defer cancel()
	out, err := runKubectl(ctx, "", "get", "dlock", "-A", "-o", `jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}`)
	if err != nil {
		t.Error(err, out)
	}
	for line := range strings.Lines(out) {
		name := strings.Fields(line)
		for _, args := range [][]string{
			{"patch", "dlock", name[1], "-n", name[0], "--type=merge", "-p", `{"metadata":{"finalizers":null}}`},
			{"delete", "dlock", name[1], "-n", name[0], "--ignore-not-found"},
		} {
			if out, err := runKubectl(ctx, "", args...); err != nil {
				t.Error(err, out)
			}
		}
	}
}

// worker takes the lock of the page's example, as the program does that the page speaks of.
func worker(t *testing.T, locks *mongolock.Client, id, owner string, opts ...mongolock.LockOption) *mongolock.Lease {
	t.Helper()
	lease, err := locks.TryLock(t.Context(), id, append(opts, mongolock.WithOwner(owner))...)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func (c *cluster) testPageDistributedLock(t *testing.T) {
	p := readPage(t, "docs/distributedlock.md")
	database := servertest.Database(t)
	locks := connect(t, database)
	uri := writeFile(t, servertest.MongoDBURI())
	o := c.start(t, nil, "--mongodb-uri-file="+uri, "--mongodb-database="+database, "--mirror-undeclared=mongolock-discovered")
	waitFor(t, system, "operator", "Held=true")

	p.do(t, "namespace", "report", "ready")
	lease := worker(t, locks, "shop/report", "worker-1")
	p.do(t, "held", "wide", "wait", "select", "jsonpath")
	if err := lease.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	lease = worker(t, locks, "shop/report", "worker-2")
	p.do(t, "describe", "events")

	p.do(t, "evict", "evicted")
	await(t, "the holder learns of the eviction", func() bool { return lease.Err() != nil })
	p.do(t, "evict-nobody", "evict-events")

	p.do(t, "thumbnails", "thumbnails-ready")
	for i := 1; i <= 3; i++ {
		worker(t, locks, "shop/thumbnails", fmt.Sprintf("resizer-%d", i), mongolock.Shared(), mongolock.WithLease(time.Hour))
	}
	p.do(t, "thumbnails-wide", "holders", "suspend", "suspended", "resume", "undeclare")
	p.do(t, "immutable", "duplicate", "duplicate-get", "duplicate-delete")

	if _, err := locks.TryLock(t.Context(), "billing/Invoices 2026", mongolock.WithOwner("billing-7f9c")); err != nil {
		t.Fatal(err)
	}
	p.do(t, "discovery-install", "discovery-get")
	p.do(t, "columns", "delete")
	kubectl(t, "delete", "dlock", "--all", "-n", "mongolock-discovered")
	p.complete(t)
	o.stop(t, 0)
}

// tableColumn is the first column of a table, without backquotes: the table whose header begins with this cell.
func tableColumn(p *page, header string) (cells []string) {
	for i, line := range p.lines {
		if !strings.HasPrefix(line, "| "+header+" |") {
			continue
		}
		for _, row := range p.lines[i+2:] {
			if !strings.HasPrefix(row, "|") {
				return cells
			}
			cells = append(cells, strings.Trim(strings.TrimSpace(strings.Split(row, "|")[1]), "`"))
		}
	}
	return cells
}

var usageLine = regexp.MustCompile(`(?m)^  -(\S+)`)

func (c *cluster) testPageOperating(t *testing.T) {
	p := readPage(t, "docs/operating.md")
	database := servertest.Database(t)
	o := c.start(t, nil, "--mongodb-uri-file="+writeFile(t, servertest.MongoDBURI()), "--mongodb-database="+database, "--metrics-secure=false")
	waitFor(t, system, "operator", "Held=true")
	p.do(t, "leader")

	help, err := exec.CommandContext(t.Context(), c.binary, "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	var flags []string
	for _, m := range usageLine.FindAllStringSubmatch(string(help), -1) {
		flags = append(flags, "--"+m[1])
	}
	sameSet(t, "flags", flags, tableColumn(p, "flag"))

	// All metrics are there once a lock has changed hands.
	locks := connect(t, database)
	lease := worker(t, locks, "default/nightly-report", "worker")
	waitFor(t, "default", "nightly-report", "Held=true")
	if err := lease.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "default", "nightly-report", "Held=false")
	scraped := c.scrapePlain(t, o)
	var own, all []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(scraped, -1) {
		all = append(all, m[1])
		if strings.HasPrefix(m[1], "mongolock_") {
			own = append(own, m[1])
		}
	}
	sameSet(t, "metrics", own, tableColumn(p, "metric"))
	for _, name := range tableColumn(p, "metric of the libraries") {
		if !slices.Contains(all, name) {
			t.Errorf("the page has the metric %s, and the operator has not", name)
		}
	}
	p.complete(t)
	o.stop(t, 0)
}

func sameSet(t *testing.T, what string, real, documented []string) {
	t.Helper()
	for _, name := range real {
		if !slices.Contains(documented, name) {
			t.Errorf("%s: %s is not in docs/operating.md", what, name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(real, name) {
			t.Errorf("%s: docs/operating.md has %s, which there is not", what, name)
		}
	}
}

// scrapePlain reads the metrics of an operator that serves them without TLS.
func (c *cluster) scrapePlain(t *testing.T, o *operator) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+o.metrics+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
