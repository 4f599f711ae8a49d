/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

type rule struct {
	Alert       string            `json:"alert,omitempty"`
	Record      string            `json:"record,omitempty"`
	Expr        string            `json:"expr"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type group struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

func readAlerts(t *testing.T) (groups []group) {
	t.Helper()
	var object struct{ Spec struct{ Groups []group } }
	readYAML(t, "config/prometheus/rules.yaml", &object)
	if len(object.Spec.Groups) == 0 {
		t.Fatal("no alerts")
	}
	return object.Spec.Groups
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Promtool finds the alerts well written, and that each fires when it should and only then. For each there is a case of both, and a
// section in the documentation.
func TestAlerts(t *testing.T) {
	var object struct{ Spec any }
	readYAML(t, "config/prometheus/rules.yaml", &object)
	groups, err := json.Marshal(object.Spec) // which is YAML, too
	if err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadFile("config/prometheus/tests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, content := range map[string][]byte{"rules.yaml": groups, "tests.yaml": cases} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	promtool := tool(t, "promtool")
	output(t, exec.Command(promtool, "check", "rules", "--lint=all", "--lint-fatal", filepath.Join(folder, "rules.yaml")))
	output(t, exec.Command(promtool, "test", "rules", filepath.Join(folder, "tests.yaml")))

	var file struct {
		Tests []struct {
			Cases []struct {
				Alert    string `json:"alertname"`
				Expected []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	readYAML(t, "config/prometheus/tests.yaml", &file)
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, c := range test.Cases {
			if len(c.Expected) > 0 {
				fires[c.Alert] = true
			} else {
				quiet[c.Alert] = true
			}
		}
	}
	manual, err := os.ReadFile("docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range readAlerts(t) {
		for _, r := range g.Rules {
			if !fires[r.Alert] || !quiet[r.Alert] {
				t.Errorf("%s: tests.yaml has a case where it fires: %t, and one where it does not: %t", r.Alert, fires[r.Alert], quiet[r.Alert])
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%s lacks a severity, summary or description", r.Alert)
			}
			if r.Annotations["runbook"] != "docs/operating.md#"+strings.ToLower(r.Alert) || !strings.Contains(string(manual), "\n### "+r.Alert+"\n") {
				t.Errorf("%s: the runbook is %q, which must be a heading of docs/operating.md", r.Alert, r.Annotations["runbook"])
			}
		}
	}
}

// dashboard is what the tests read of config/grafana/mongolock.json.
type dashboard struct {
	Title  string
	Panels []struct {
		ID          int
		Type, Title string
		Datasource  struct{ UID string }
		FieldConfig struct{ Defaults struct{ Unit string } }
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("config/grafana/mongolock.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || len(d.Panels) == 0 {
		t.Fatal("the dashboard has no title or no panels")
	}
	return d
}

// queries are the expressions of all panels.
func (d *dashboard) queries() (exprs []string) {
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			exprs = append(exprs, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
		}
	}
	return exprs
}

// The dashboard's expressions can be parsed, all panels have what they need, none covers another, and whose Prometheus is asked is for
// the user to choose.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	variables := map[string]string{}
	for _, v := range d.Templating.List {
		variables[v.Name] = v.Type
	}
	if variables["datasource"] != "datasource" || variables["namespace"] != "query" || variables["job"] != "query" {
		t.Errorf("variables are %v", variables)
	}
	places := map[[2]int]string{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if p.Title == "" || ids[p.ID] {
			t.Errorf("panel %d %q has no title, or another's id", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := places[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies over %q, or outside", p.Title, other)
				}
				places[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource.UID != "${datasource}" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %q asks %q, has the unit %q and %d queries", p.Title, p.Datasource.UID, p.FieldConfig.Defaults.Unit, len(p.Targets))
		}
		for _, target := range p.Targets {
			if !strings.Contains(target.Expr, `namespace=~"$namespace", job=~"$job"`) || target.LegendFormat == "" {
				t.Errorf("panel %q: no selection by the variables, or no legend: %s", p.Title, target.Expr)
			}
		}
	}
	// Promtool parses rules, so the queries become rules.
	rules := group{Name: "dashboard"}
	for i, expr := range d.queries() {
		rules.Rules = append(rules.Rules, rule{Record: fmt.Sprintf("dashboard:query:%d", i), Expr: expr})
	}
	text, err := json.Marshal(map[string]any{"groups": []group{rules}}) // which is YAML, too
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	output(t, exec.Command(tool(t, "promtool"), "check", "rules", path))
}

var (
	// noNames is what stands in an expression and is no name of a metric: strings, selectors, ranges, and lists of labels.
	noNames = regexp.MustCompile(`"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	// words are names of metrics and functions, and operators.
	words = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*(\s*\()?`)
	// grouped are lists of labels, and legend is one in the legend of a panel or the text of an alert.
	grouped = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	legend  = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}`)
	// label is one in a line of a scrape.
	label = regexp.MustCompile(`[{,]([a-zA-Z_]+)="`)
	// asked is the metric whose labels a variable of the dashboard has.
	asked = regexp.MustCompile(`^label_values\(([a-z_]+)`)
)

// metricNames are the names of the metrics in an expression.
func metricNames(expr string) (names []string) {
	for _, word := range words.FindAllString(noNames.ReplaceAllString(expr, " "), -1) {
		switch {
		case strings.HasSuffix(word, "("): // a function
		case word == "and", word == "or", word == "unless", word == "bool", word == "offset", word == "by", word == "on":
		default:
			names = append(names, word)
		}
	}
	return names
}

// labelNames are the names of the labels in an expression's lists and in a text.
func labelNames(expr string, texts ...string) (names []string) {
	for _, match := range grouped.FindAllStringSubmatch(expr, -1) {
		names = append(names, strings.FieldsFunc(match[1], func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	for _, match := range legend.FindAllStringSubmatch(strings.Join(texts, " "), -1) {
		names = append(names, match[1])
	}
	return names
}

// Alerts and dashboard ask for nothing that the operator does not export.
func TestMetricNames(t *testing.T) {
	used, usedLabels := map[string]string{}, map[string]string{} // by what
	for _, g := range readAlerts(t) {
		for _, r := range g.Rules {
			for _, name := range metricNames(r.Expr) {
				used[name] = r.Alert
			}
			for _, name := range labelNames(r.Expr, r.Annotations["description"]) {
				usedLabels[name] = r.Alert
			}
		}
	}
	d := readDashboard(t)
	for _, expr := range d.queries() {
		names := metricNames(expr)
		if len(names) == 0 {
			t.Errorf("no metric in %s", expr)
		}
		for _, name := range names {
			used[name] = "the dashboard: " + expr
		}
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, name := range labelNames(target.Expr, target.LegendFormat) {
				usedLabels[name] = "panel " + p.Title
			}
		}
	}
	for _, v := range d.Templating.List {
		if query, ok := v.Query.(map[string]any); ok {
			match := asked.FindStringSubmatch(fmt.Sprint(query["query"]))
			if match == nil {
				t.Fatalf("no metric in the query of the variable %s: %v", v.Name, query)
			}
			used[match[1]] = "the variable " + v.Name
		}
	}
	exported, labels := exportedMetrics(t)
	for name, by := range usedLabels {
		if !labels[name] && name != "namespace" && name != "job" && name != "instance" { // which Prometheus itself gives to a target
			t.Errorf("no metric has a label %s, used by %s", name, by)
		}
	}
	for name, by := range used {
		if !exported[name] {
			t.Errorf("there is no metric %s, used by %s", name, by)
		}
	}
	if len(used) < 10 || used["mongolock_store_up"] == "" || exported["mongolock_no_such_metric"] {
		t.Errorf("only these are used: %v", used)
	}
}

// exportedMetrics are the names that a working operator exports, and of the metrics by label that nothing has been counted for yet those
// that its code registers. The labels are those that any metric has.
func exportedMetrics(t *testing.T) (names, labels map[string]bool) {
	t.Helper()
	c := &cluster{}
	c.install(t)
	database := servertest.Database(t)
	o := c.start(t, nil, "--mongodb-uri-file="+writeFile(t, servertest.MongoDBURI()), "--mongodb-database="+database, "--metrics-secure=false")
	lease, err := connect(t, database).TryLock(t.Context(), "default/nightly-report", mongolock.WithOwner("worker"))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "default", "nightly-report", "Held=true")
	if err := lease.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "default", "nightly-report", "Held=false")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+o.metrics+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("scrape: %s, %v", response.Status, err)
	}
	o.stop(t, 0)

	check := exec.Command(tool(t, "promtool"), "check", "metrics", "--extended", "--lint=none") // that Prometheus can read it
	check.Stdin = bytes.NewReader(body)
	output(t, check)

	names, labels = map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(string(body)) {
		if end := strings.IndexAny(line, "{ "); end > 0 && line[0] != '#' {
			names[line[:end]] = true
			for _, match := range label.FindAllStringSubmatch(line, -1) {
				labels[match[1]] = true
			}
		}
	}
	collector, ok := metrics.Registry.(prometheus.Collector)
	if !ok {
		t.Fatalf("%T does not describe its metrics", metrics.Registry)
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		collector.Describe(descriptions)
		close(descriptions)
	}()
	fqName := regexp.MustCompile(`fqName: "([^"]+)"`)
	for description := range descriptions {
		if match := fqName.FindStringSubmatch(description.String()); match != nil {
			names[match[1]] = true
		}
	}
	return names, labels
}
