/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// crd does what the API server does with the objects of the CRD in config/crd, in this process, so that very many can be tried.
type crd struct {
	structural *schema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
	messages   []string // of the rules of the spec
}

func newCRD(tb testing.TB) *crd {
	tb.Helper()
	text, err := os.ReadFile("../config/crd/bases/locks.mongolock.dev_distributedlocks.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &definition); err != nil {
		tb.Fatal(err)
	}
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
		definition.Spec.Versions[0].Schema.OpenAPIV3Schema, &props, nil); err != nil {
		tb.Fatal(err)
	}
	c := &crd{}
	if c.structural, err = schema.NewStructural(&props); err != nil {
		tb.Fatal(err)
	}
	if c.schema, _, err = validation.NewSchemaValidator(&props); err != nil {
		tb.Fatal(err)
	}
	c.rules = cel.NewValidator(c.structural, true, celconfig.PerCallLimit)
	spec := c.structural.Properties["spec"]
	for _, rules := range []apiextensionsv1.ValidationRules{spec.XValidations, spec.Properties["id"].XValidations, spec.Properties["maxLeaseDuration"].XValidations} {
		for _, rule := range rules {
			c.messages = append(c.messages, rule.Message)
		}
	}
	return c
}

// admit changes an object as the API server does that is given it, and returns why it is refused; old is what it is to replace, or nil.
func (c *crd) admit(ctx context.Context, obj, old map[string]any) field.ErrorList {
	pruning.Prune(obj, c.structural, true)
	defaulting.PruneNonNullableNullsWithoutDefaults(obj, c.structural)
	defaulting.Default(obj, c.structural)
	errs := validation.ValidateCustomResource(nil, obj, c.schema)
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return errs // no rules are evaluated then
		}
	}
	var before any // not a map that is nil
	if old != nil {
		before = old
	}
	broken, _ := c.rules.Validate(ctx, nil, c.structural, obj, before, celconfig.RuntimeCELCostBudget)
	return append(errs, broken...)
}

// checkRules: every refusal is one of those that the schema or a rule means. That a rule costs too much or cannot be evaluated is none.
func (c *crd) checkRules(t *testing.T, errs field.ErrorList) {
	t.Helper()
	for _, err := range errs {
		schema := err.Type != field.ErrorTypeInvalid || strings.Contains(err.Detail, "should be at least 1 chars long")
		if err.Type == field.ErrorTypeInternal || !schema && !slices.Contains(c.messages, err.Detail) {
			t.Errorf("a rule does not work: %v", err)
		}
	}
}

// object is a DistributedLock as the API server is given it; spec is JSON. It is nil if that is none.
func object(namespace, name string, spec []byte) map[string]any {
	var value any
	if utiljson.Unmarshal(spec, &value) != nil {
		return nil
	}
	if fields, ok := value.(map[string]any); ok { // the policy has a fuzz target of its own
		delete(fields, "capacity")
		delete(fields, "suspend")
		delete(fields, "maxLeaseDuration")
	}
	return map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "DistributedLock",
		"metadata": map[string]any{"namespace": namespace, "name": name}, "spec": value,
	}
}

// specOf is what a spec says: no spec and no id are null. It is false for one that must be refused.
func specOf(spec any) (id string, given, ok bool) {
	if spec == nil {
		return "", false, true
	}
	fields, isObject := spec.(map[string]any)
	if !isObject {
		return "", false, false
	}
	if fields["id"] == nil {
		return "", false, true
	}
	id, ok = fields["id"].(string)
	n := utf8.RuneCountInString(id)
	return id, true, ok && n >= 1 && n <= maxID && len(id) <= maxID && strings.TrimSpace(id) == id &&
		!strings.ContainsFunc(id, unicode.IsControl) && !strings.HasPrefix(id, "mongolock:selftest/")
}

// closedClient is a client that refuses to do anything, after it has looked at the arguments.
func closedClient(tb testing.TB) *mongolock.Client {
	tb.Helper()
	client, err := mongolock.Connect(tb.Context(), "mongodb://127.0.0.1:1", mongolock.WithDeferredCheck())
	if err != nil {
		tb.Fatal(err)
	}
	if err := client.Close(context.WithoutCancel(tb.Context())); err != nil {
		tb.Fatal(err)
	}
	return client
}

// The API server accepts what the documentation of the spec says, at a cost within its limits, and nothing of which the engine would say
// that there can be no such lock; and what was accepted cannot become another lock.
func FuzzSpec(f *testing.F) {
	quoted := func(id string) []byte {
		spec, err := json.Marshal(map[string]string{"id": id})
		if err != nil {
			f.Fatal(err)
		}
		return spec
	}
	for _, id := range []string{
		"a/b", "aufträge/täglich", strings.Repeat("x", 512), strings.Repeat("x", 513), strings.Repeat("ä", 256), strings.Repeat("ä", 257),
		strings.Repeat("𝄞", 512), "a\tb", "a\nb", "a\x00b", "a\u0085b", " a", "a\u00a0", "a\u2003", "a\u200b", "mongolock:selftest/x", "mongolock:selftest",
		"$x", "orders/report", "",
	} {
		f.Add("orders", "report", quoted(id), quoted("a/b"), false)
		f.Add("orders", "report", quoted("a/b"), quoted(id), true)
	}
	for _, spec := range []string{"{}", "null", `{"id": null}`, `{"id": 7}`, `{"id": ["a"]}`, `"a"`, `[]`, `{"ID": "x", "more": {"id": 1}}`, `{"id":"\ud800"}`} {
		f.Add("orders", "report", []byte(spec), []byte("{}"), false)
		f.Add(strings.Repeat("n", 63), strings.Repeat("o", 253), []byte("{}"), []byte(spec), false)
	}
	c, engine := newCRD(f), closedClient(f)
	f.Fuzz(func(t *testing.T, namespace, name string, spec, change []byte, allowForeign bool) {
		isName := len(apivalidation.ValidateNamespaceName(namespace, false))+len(apivalidation.NameIsDNSSubdomain(name, false)) == 0
		obj, changed := object(namespace, name, spec), object(namespace, name, change)
		if !isName || obj == nil || changed == nil {
			return
		}
		id, given, ok := specOf(obj["spec"])
		errs := c.admit(t.Context(), obj, nil)
		c.checkRules(t, errs)
		if ok != (len(errs) == 0) {
			t.Fatalf("spec %s: accepted %t, want %t: %v", spec, len(errs) == 0, ok, errs)
		}
		if !ok {
			return
		}
		want := namespace + "/" + name
		if given {
			want = id
		}
		checkAccepted(t, c, engine, obj, want, allowForeign)

		newID, newGiven, newOK := specOf(changed["spec"])
		newOK = newOK && newGiven == given && newID == id
		errs = c.admit(t.Context(), changed, obj)
		c.checkRules(t, errs)
		if newOK != (len(errs) == 0) {
			t.Errorf("spec %s changed to %s: accepted %t, want %t: %v", spec, change, len(errs) == 0, newOK, errs)
		}
	})
}

// A policy is accepted exactly if it is what the documentation of the spec says, and then the engine takes it.
func FuzzPolicy(f *testing.F) {
	for _, d := range []string{"1s", "24h", "24h0m0s", "1h30m", "1500ms", "1.5s", "999ms", "24h0m0.001s", "1.0005s", "0.0001h", "", "1", "-1s", "1d", "1e3s",
		"99999999h", "1us", "+1s", "1s1s1s1s", "1s1s1s1s1s", ".5s", "5.s", "0h1s", "00000001s", "1.000000001s", "2.001s", "86400s", "86400.001s"} {
		f.Add(int64(1), d)
	}
	f.Add(int64(0), "15s")
	f.Add(int64(1000), "15s")
	f.Add(int64(1001), "15s")
	f.Add(int64(-1), "15s")
	f.Add(int64(1)<<40, "15s")
	c, engine := newCRD(f), closedClient(f)
	syntax := regexp.MustCompile(`^([0-9]{1,8}(h|m|s|ms)|[0-9]{1,8}\.[0-9]{1,3}s){1,4}$`)
	f.Fuzz(func(t *testing.T, capacity int64, lease string) {
		d, err := time.ParseDuration(lease)
		want := capacity >= 1 && capacity <= mongolock.MaxCapacity && err == nil && syntax.MatchString(lease) && len(lease) <= 32 &&
			d >= mongolock.MinLease && d <= mongolock.MaxLease && d%time.Millisecond == 0
		obj := object("orders", "report", []byte("{}"))
		obj["spec"] = map[string]any{"capacity": capacity, "maxLeaseDuration": lease, "suspend": true}
		errs := c.admit(t.Context(), obj, nil)
		if (len(errs) == 0) != want {
			t.Fatalf("capacity %d, maxLeaseDuration %q: accepted %t, want %t: %v", capacity, lease, len(errs) == 0, want, errs)
		}
		if !want {
			return
		}
		lock := &v1alpha1.DistributedLock{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj, lock); err != nil {
			t.Fatal(err)
		}
		policy := declaredPolicy(&lock.Spec)
		if policy.Capacity != int(capacity) || !policy.Suspended || policy.MaxLease != d && (d != mongolock.MaxLease || policy.MaxLease != 0) {
			t.Errorf("capacity %d, maxLeaseDuration %q became %+v", capacity, lease, policy)
		}
		if err := engine.SetPolicy(t.Context(), "orders/report", policy); !errors.Is(err, mongolock.ErrClosed) {
			t.Errorf("the API server accepts %+v, and the engine says %v", policy, err)
		}
		store(t, c, lock)
	})
}

// checkAccepted: the operator makes of an accepted object the lock that it is meant to be, and the engine takes its id.
func checkAccepted(t *testing.T, c *crd, engine *mongolock.Client, obj map[string]any, id string, allowForeign bool) {
	t.Helper()
	lock := &v1alpha1.DistributedLock{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj, lock); err != nil {
		t.Fatal(err)
	}
	if lock.LockID() != id {
		t.Errorf("the lock is %q, want %q", lock.LockID(), id)
	}
	if _, err := engine.Get(t.Context(), lock.LockID()); !errors.Is(err, mongolock.ErrClosed) {
		t.Errorf("the API server accepts the lock %q, and the engine says %v", id, err)
	}
	view := View{State: mongolock.State{ID: lock.LockID()}, Health: healthy}
	judge := &claims{objects: fake.NewClientBuilder().WithScheme(scheme).WithIndex(lock, lockIDIndex, lockIDs).Build(), allowForeignIDs: allowForeign}
	judged, err := judge.of(t.Context(), lock)
	if err != nil {
		t.Fatal(err)
	}
	lock.Status = desiredStatus(lock, view, judged, t0)
	if foreign := !allowForeign && !strings.HasPrefix(id, lock.Namespace+"/"); foreign != (conditionOf(lock.Status, "Stalled") != "absent") {
		t.Errorf("lock %q in namespace %q: %+v", id, lock.Namespace, lock.Status)
	}
	if lock.Status.ID != id {
		t.Errorf("the status of the lock %q has the id %q", id, lock.Status.ID)
	}
	store(t, c, lock)
}

// store is what a client, the API server and a client make of an object that is written and read again.
func store(t *testing.T, c *crd, lock *v1alpha1.DistributedLock) *v1alpha1.DistributedLock {
	t.Helper()
	text, err := json.Marshal(lock)
	if err != nil {
		t.Fatal(err)
	}
	var obj map[string]any
	if err := utiljson.Unmarshal(text, &obj); err != nil {
		t.Fatal(err)
	}
	obj["apiVersion"], obj["kind"] = v1alpha1.GroupVersion.String(), "DistributedLock"
	if errs := c.admit(t.Context(), obj, nil); len(errs) > 0 {
		t.Fatalf("the API server refuses what the operator writes, %s: %v", text, errs)
	}
	if text, err = json.Marshal(obj); err != nil {
		t.Fatal(err)
	}
	stored := &v1alpha1.DistributedLock{}
	if err := json.Unmarshal(text, stored); err != nil {
		t.Fatal(err)
	}
	return stored
}

// Whatever is in a lock's document, its status is accepted by the API server, is the same when it is read again, and is not written again
// while nothing changes.
func FuzzStatus(f *testing.F) {
	f.Add("owner", "acquired", int64(1), int64(1), int64(15_000), t0.UnixMilli(), uint8(1), uint8(1), true)
	f.Add("a\xffb", "released", int64(2), int64(1), int64(1), int64(0), uint8(2), uint8(0), true)
	f.Add(strings.Repeat("ä", 300), strings.Repeat("€", 40), int64(1<<62), int64(1<<62), int64(0), int64(253402300799999), uint8(200), uint8(200), true)
	f.Add("\"\n\x00", "", int64(0), int64(0), int64(24*3600*1000), int64(1), uint8(0), uint8(40), true)
	f.Add("", "expired", int64(5), int64(0), int64(1000), int64(999), uint8(16), uint8(0), false)
	c := newCRD(f)
	f.Fuzz(func(t *testing.T, owner, kind string, seq, token, lease, at int64, events, holders uint8, exists bool) {
		// The engine takes a document for a lock's only within these bounds.
		if min(seq, token, lease, at) < 0 || lease > mongolock.MaxLease.Milliseconds() || at > 253402300799999 {
			return
		}
		when := time.UnixMilli(at).UTC()
		state := mongolock.State{ID: "orders/report", Exists: exists, Token: token, Grants: seq, Seq: seq, ChangedAt: when}
		for i := range int64(events) {
			state.Events = append(state.Events, mongolock.Event{
				Seq: max(0, seq-i), Type: mongolock.EventType(kind), Owner: owner, Token: token, At: when,
			})
		}
		for range holders {
			state.Holders = append(state.Holders, mongolock.Holder{
				Owner: owner, Token: token, Lease: time.Duration(lease) * time.Millisecond, AcquiredAt: when,
			})
		}
		view := View{State: state, Health: healthy}
		lock := newLock("")
		lock.Status = desiredStatus(lock, view, claim{}, t0)
		stored := store(t, c, lock)
		if !equality.Semantic.DeepEqual(stored.Status, lock.Status) {
			t.Errorf("written as\n%+v\nit is read as\n%+v", lock.Status, stored.Status)
		}
		if again := desiredStatus(stored, view, claim{}, t0.Add(time.Hour)); !equality.Semantic.DeepEqual(stored.Status, again) {
			t.Errorf("it is written again, as\n%+v\nit was\n%+v", again, stored.Status)
		}
	})
}
