/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

var updateDocs = flag.Bool("update-docs", false, "write what the commands of docs/ print into the pages")

// page is a page of docs/ whose marked blocks are run; "go test -run TestDocs -update-docs ." writes what they print. A mark is a comment before the block:
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
	t.Run("security", c.testPageSecurity)
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

	p.do(t, "discovery-install")
	worker(t, locks, "billing/Invoices 2026", "billing-7f9c")
	p.do(t, "discovery-get")
	p.do(t, "columns", "delete")
	kubectl(t, "delete", "dlock", "--all", "-n", "mongolock-discovered")
	p.complete(t)
	o.stop(t, 0)
}

func (c *cluster) testPageSecurity(t *testing.T) {
	p := readPage(t, "docs/security.md")
	p.do(t, "can-i")
	p.complete(t)
}

// table has the rows of the table whose header begins with this cell; of each the cells, without backquotes.
func (p *page) table(header string) (rows [][]string) {
	at := slices.IndexFunc(p.lines, func(line string) bool { return strings.HasPrefix(line, "| "+header+" |") })
	if at < 0 {
		return nil
	}
	for _, line := range p.lines[at+2:] {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(line, "|")[1:]
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		rows = append(rows, cells)
	}
	return rows
}

// column is the first column of a table.
func (p *page) column(header string) (cells []string) {
	for _, row := range p.table(header) {
		cells = append(cells, row[0])
	}
	return cells
}

func (c *cluster) testPageOperating(t *testing.T) {
	p := readPage(t, "docs/operating.md")
	database := servertest.Database(t)
	o := c.start(t, nil, "--mongodb-uri-file="+writeFile(t, servertest.MongoDBURI()), "--mongodb-database="+database, "--metrics-secure=false")
	p.do(t, "install", "secret", "leader", "upgrade")
	c.compareFlags(t, p)

	// All metrics are there once a lock has changed hands.
	applySamples(t, c.leader)
	locks := connect(t, database)
	lease := worker(t, locks, "default/nightly-report", "worker")
	waitFor(t, "default", "nightly-report", "Held=true")
	if err := lease.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "default", "nightly-report", "Held=false")
	status, scraped, err := scrape(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+o.metrics+"/metrics", "")
	if err != nil || status != http.StatusOK {
		t.Fatalf("metrics: %d %v", status, err)
	}
	compareMetrics(t, p, scraped)

	waitFor(t, "default", "thumbnails", "Ready=true") // has a policy, and so a finalizer
	p.do(t, "uninstall")
	o.stop(t, 0)
	left := "apiVersion: locks.mongolock.dev/v1alpha1\nkind: DistributedLock\n" +
		"metadata: {name: left, namespace: default, finalizers: [" + v1alpha1.PolicyFinalizer + "]}"
	if out, err := runKubectl(t.Context(), left, "create", "-f", "-"); err != nil {
		t.Fatal(err, out)
	}
	p.do(t, "finalizers")
	kubectl(t, "delete", "dlock", "left", "-n", "default", "--timeout="+soon.String())
	p.complete(t)
}

// compareFlags compares the table of flags with what the binary says of itself, and the names of the variables with how they are made.
func (c *cluster) compareFlags(t *testing.T, p *page) {
	t.Helper()
	help, err := exec.CommandContext(t.Context(), c.binary, "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	var flags []string
	for _, m := range regexp.MustCompile(`(?m)^  -(\S+).*\n    \t.*?(?:\(default "?([^")]*)"?\))?$`).FindAllStringSubmatch(string(help), -1) {
		flags = append(flags, "--"+m[1])
		defaults["--"+m[1]] = m[2]
	}
	sameSet(t, p, "flag", flags, p.column("flag"))
	for _, row := range p.table("flag") {
		variable := strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(row[0], "--"), "-", "_"))
		if !strings.HasPrefix(variable, "MONGODB_") {
			variable = "MONGOLOCK_" + variable
		}
		if row[1] != variable {
			t.Errorf("%s: the variable is %s, and not %s", row[0], variable, row[1])
		}
		if want := defaults[row[0]]; want != "" && row[2] != want {
			t.Errorf("%s: the default is %s, and not %s", row[0], want, row[2])
		}
	}
}

func compareMetrics(t *testing.T, p *page, scraped string) {
	t.Helper()
	kinds := map[string]string{}
	var own []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(scraped, -1) {
		kinds[m[1]] = m[2]
		if strings.HasPrefix(m[1], "mongolock_") {
			own = append(own, m[1])
		}
	}
	sameSet(t, p, "metric", own, p.column("metric"))
	for _, row := range p.table("metric") {
		if row[1] != kinds[row[0]] {
			t.Errorf("%s is a %s, and not a %s", row[0], kinds[row[0]], row[1])
		}
	}
	for _, name := range p.column("metric of the libraries") {
		if kinds[name] == "" && name != "controller_runtime_reconcile_errors_total" { // which needs an error
			t.Errorf("%s has %s, and the operator has not", p.path, name)
		}
	}
}

func sameSet(t *testing.T, p *page, what string, there, documented []string) {
	t.Helper()
	for _, name := range there {
		if !slices.Contains(documented, name) {
			t.Errorf("%s %s is not in %s", what, name, p.path)
		}
	}
	for _, name := range documented {
		if !slices.Contains(there, name) {
			t.Errorf("%s has the %s %s, which there is not", p.path, what, name)
		}
	}
}

// What docs/operating.md says of a restore: the old picture blocks a lock until its leases end, those who held locks since lose them, and
// tokens go on growing.
func TestRestore(t *testing.T) {
	database := servertest.Database(t)
	locks := connect(t, database)
	driver, err := mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI()))
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Disconnect(t.Context()) //nolint:errcheck // the server is going too
	documents := driver.Database(database).Collection(mongolock.DefaultCollection)

	const id, lasting = "shop/report", 15 * time.Second
	before := worker(t, locks, id, "before", mongolock.WithLease(lasting))
	var backup bson.Raw
	if backup, err = documents.FindOne(t.Context(), bson.D{{Key: "_id", Value: id}}).Raw(); err != nil {
		t.Fatal(err)
	}
	if err := before.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	since := worker(t, locks, id, "since", mongolock.WithLease(lasting))

	if _, err := documents.ReplaceOne(t.Context(), bson.D{{Key: "_id", Value: id}}, backup); err != nil {
		t.Fatal(err)
	}
	var held *mongolock.HeldError
	if _, err := locks.TryLock(t.Context(), id); !errors.As(err, &held) || held.Owner != "before" {
		t.Errorf("right after the restore: %v, want that the holder in the backup has the lock", err)
	}
	select {
	case <-since.Done():
	case <-time.After(lasting/3 + 20*time.Second):
		t.Error("who held the lock at the time of the restore is not told with the next renewal")
	}
	after, err := locks.Lock(t.Context(), id, mongolock.WithOwner("after"))
	if err != nil || after.Token() <= since.Token() || since.Token() <= before.Token() {
		t.Errorf("%v; tokens %d, %d, want larger ones", err, before.Token(), since.Token())
	}
}

// The commands that the engine sends for its locks are those for which docs/security.md names a privilege.
func TestCommands(t *testing.T) {
	var mu sync.Mutex
	sent := map[string]bool{}
	monitor := &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		mu.Lock()
		defer mu.Unlock()
		sent[e.CommandName] = true
	}}
	driver, err := mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI()).SetMonitor(monitor))
	if err != nil {
		t.Fatal(err)
	}
	locks, err := mongolock.New(t.Context(), driver.Database(servertest.Database(t)))
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := locks.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lease := worker(t, locks, "a", "first", mongolock.WithLease(6*time.Second))
	waited := make(chan error, 1)
	go func() {
		_, err := locks.Lock(t.Context(), "a")
		waited <- err
	}()
	time.Sleep(3 * time.Second) // renewals, looks and sweeps
	if err := errors.Join(lease.Unlock(t.Context()), <-waited, locks.SetPolicy(t.Context(), "a", mongolock.Policy{Capacity: 2})); err != nil {
		t.Fatal(err)
	}
	state, err := locks.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := locks.Evict(t.Context(), "a", state.Token, "a test"); err != nil {
		t.Fatal(err)
	}
	watcher.Close()
	if err := errors.Join(locks.Close(t.Context()), driver.Disconnect(t.Context())); err != nil {
		t.Fatal(err)
	}

	var documented []string
	for _, row := range readPage(t, "docs/security.md").table("command") {
		for i, part := range strings.Split("`"+row[0]+"`", "`") {
			if i%2 == 1 {
				documented = append(documented, part)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for name := range sent {
		if !slices.Contains(documented, name) {
			t.Errorf("the engine sends %s, which docs/security.md has not", name)
		}
	}
	for _, name := range []string{"find", "findAndModify", "update", "insert", "delete"} {
		if !sent[name] {
			t.Errorf("the engine did not send %s: is the test as it was?", name)
		}
	}
}

// docs/distributedlock.md has every condition's reason, every event and every field.
func TestPageIsComplete(t *testing.T) {
	text := strings.Join(readPage(t, "docs/distributedlock.md").lines, "\n")
	for file, pattern := range map[string]string{
		"api/v1alpha1/conditions.go":            `(?m)^\t\w+ = "(\w+)"$`,
		"api/v1alpha1/distributedlock_types.go": "json:\"(\\w+)[,\"]",
	} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1)
		if len(names) < 25 {
			t.Errorf("only %d names found in %s", len(names), file)
		}
		for _, m := range names {
			if !strings.Contains(text, "`"+m[1]+"`") && !slices.Contains([]string{"metadata", "spec", "status", "items"}, m[1]) {
				t.Errorf("docs/distributedlock.md does not tell of %s", m[1])
			}
		}
	}
}

// Links between the pages lead somewhere, and so do anchors.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]map[string]bool{}
	for _, path := range append(pages, "README.md") {
		anchors[path] = anchorsOf(t, path)
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	links := 0
	for path := range anchors {
		for i, line := range readText(t, path) {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if strings.Contains(m[1], "://") {
					continue
				}
				links++
				file, anchor, _ := strings.Cut(m[1], "#")
				target := path
				if file != "" {
					target = filepath.Join(filepath.Dir(path), file)
				}
				if _, err := os.Stat(target); err != nil {
					t.Errorf("%s:%d: %s leads nowhere", path, i+1, m[1])
				} else if anchor != "" && anchors[target] != nil && !anchors[target][anchor] {
					t.Errorf("%s:%d: %s has no such heading", path, i+1, m[1])
				}
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links found", links)
	}
}

// The tests that the pages name are there.
func TestNamedTests(t *testing.T) {
	defined := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	here := os.DirFS(".")
	err := fs.WalkDir(here, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := fs.ReadFile(here, path)
		for _, m := range function.FindAllSubmatch(source, -1) {
			defined[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)")
	for _, path := range pages {
		for i, line := range readPage(t, path).lines {
			for _, m := range named.FindAllStringSubmatch(line, -1) {
				if !defined[m[1]] {
					t.Errorf("%s:%d: there is no %s", path, i+1, m[1])
				}
			}
		}
	}
}

// readText is a page without its code.
func readText(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines, code := strings.Split(string(content), "\n"), false
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
			lines[i] = ""
		} else if code {
			lines[i] = ""
		}
	}
	return lines
}

// anchorsOf are the anchors of a page's headings, as they are made by those who show Markdown.
func anchorsOf(t *testing.T, path string) map[string]bool {
	t.Helper()
	anchors := map[string]bool{}
	for _, line := range readText(t, path) {
		level := strings.IndexFunc(line, func(r rune) bool { return r != '#' })
		if level < 1 || line[level] != ' ' {
			continue
		}
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, line[level+1:])
		for n := 1; anchors[anchor]; n++ {
			anchor = fmt.Sprintf("%s-%d", strings.TrimSuffix(anchor, fmt.Sprintf("-%d", n-1)), n)
		}
		anchors[anchor] = true
	}
	return anchors
}
