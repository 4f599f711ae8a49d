/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// known are the secrets that the processes of these tests were given, and started are these processes. When all tests have run, what
// the processes have printed and what they have written into the API server is searched for all of the secrets.
var (
	known   = &secrets{values: map[string]string{}}
	started struct {
		sync.Mutex
		operators []*operator
	}
)

// shortest is the length of the shortest secret that is searched for: a shorter one is found in anything.
const shortest = 6

// secrets are values that nobody may see, and what each of them is.
type secrets struct {
	mu     sync.Mutex
	values map[string]string
}

func (s *secrets) add(what, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(value) >= shortest {
		s.values[value] = what
	}
}

// addURI adds a connection string, if it has a password, and the password.
func (s *secrets) addURI(uri string) {
	uri = strings.TrimSpace(uri)
	_, rest, _ := strings.Cut(uri, "://")
	authority, _, _ := strings.Cut(rest, "/")
	at := strings.LastIndex(authority, "@")
	if at < 0 {
		return
	}
	_, password, _ := strings.Cut(authority[:at], ":")
	s.add("a connection string", uri)
	s.add("a password as it is in a connection string", password)
	if plain, err := url.PathUnescape(password); err == nil {
		s.add("a password", plain)
	}
}

// addFrom adds what a process gets with its environment and its arguments: a connection string, in a file or not, and the credentials of
// a kubeconfig.
func (s *secrets) addFrom(environment, args []string) {
	for _, setting := range slices.Concat(environment, args) {
		name, value, _ := strings.Cut(setting, "=")
		switch {
		case name == "--mongodb-uri-file":
			content, _ := os.ReadFile(value) // it may come late
			s.addURI(string(content))
		case name == "--kubeconfig" || name == "KUBECONFIG":
			config, err := clientcmd.LoadFromFile(value)
			if err != nil {
				continue // which the process will say
			}
			for _, user := range config.AuthInfos {
				s.add("a service account's token", user.Token)
				s.add("a client's key", string(user.ClientKeyData))
			}
		case strings.Contains(value, "://"):
			s.addURI(value)
		}
	}
}

// in tells which secrets are in a text, in whatever form. It does not repeat them.
func (s *secrets) in(text string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for value, what := range s.values {
		for form, written := range forms(value) {
			if strings.Contains(text, written) {
				found = append(found, what+", "+form)
			}
		}
	}
	return found
}

// forms are the forms in which a value can be in a text.
func forms(value string) map[string]string {
	quoted, _ := json.Marshal(value) // a string
	all := map[string]string{
		"plain":                 value,
		"as JSON":               string(quoted[1 : len(quoted)-1]),
		"percent-encoded":       url.QueryEscape(value),
		"percent-encoded, path": url.PathEscape(value),
		"as user information":   strings.TrimPrefix(url.UserPassword("", value).String(), ":"),
	}
	// In base64 the form depends on what stands before. The characters that it shares with its neighbours are left out.
	for before := range 3 {
		padded := append(make([]byte, before), value...)
		first, end := (before*8+5)/6, len(padded)*8/6
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64 of URLs": base64.RawURLEncoding} {
			all[fmt.Sprintf("%s at %d", name, before)] = encoding.EncodeToString(padded)[first:end]
		}
	}
	return all
}

// searchSecrets is the look after all tests.
func searchSecrets(ctx context.Context) error {
	started.Lock()
	defer started.Unlock()
	if len(started.operators) == 0 {
		return nil
	}
	var errs []error
	for _, o := range started.operators {
		for _, found := range known.in(o.log()) {
			errs = append(errs, fmt.Errorf("%s: the process has printed %s", o.test, found))
		}
	}
	size := 0
	for _, kind := range []string{"distributedlocks", "events", "events.v1.events.k8s.io"} {
		objects, err := runKubectl(ctx, "", "get", kind, "-A", "-o", "json")
		if err != nil && !strings.Contains(objects, "doesn't have a resource type") { // a test has taken it away
			errs = append(errs, fmt.Errorf("kubectl get %s: %w: %s", kind, err, objects))
		}
		for _, found := range known.in(objects) {
			errs = append(errs, fmt.Errorf("one of the %s has %s", kind, found))
		}
		size += len(objects)
	}
	fmt.Printf("searched what %d processes printed, and %d kB of objects and events, for %d secrets\n",
		len(started.operators), size>>10, len(known.values))
	return errors.Join(errs...)
}

// The search finds what it is to find, and nothing else.
func TestSearchSecrets(t *testing.T) {
	const password = "p&ss/w?rd+1"
	s := &secrets{values: map[string]string{}}
	s.addFrom([]string{"MONGODB_URI=mongodb://user:" + url.QueryEscape(password) + "@host/?tls=true"}, []string{"--mongodb-uri-file=" + writeFile(t, "mongodb://u:from-file@h/")})
	for _, text := range []string{
		"the password is " + password + ".",
		"%2F" + url.QueryEscape(password) + "%2F",
		"auth user:" + url.PathEscape(password) + "@",
		`{"pwd":"p\u0026ss/w?rd+1"}`,
		"data: " + base64.StdEncoding.EncodeToString([]byte(password)),
		"data: " + base64.StdEncoding.EncodeToString([]byte("u:"+password+"@host")),
		"data: " + base64.URLEncoding.EncodeToString([]byte("user:"+password+" and more")),
		"it is from-file",
	} {
		found := s.in(text)
		if len(found) == 0 {
			t.Errorf("not found in %s", text)
		}
		for _, what := range found {
			if strings.Contains(what, password) {
				t.Errorf("the finding repeats the secret: %s", what)
			}
		}
	}
	for _, text := range []string{"", "mongodb://user@host", "the password of user at host is not told", base64.StdEncoding.EncodeToString([]byte("p&ss and so on"))} {
		if found := s.in(text); len(found) > 0 {
			t.Errorf("found in %q: %v", text, found)
		}
	}
}
