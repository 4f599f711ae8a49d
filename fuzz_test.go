/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"errors"
	"flag"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// Flags and environment, one a line each, of a deployment in which the connection string may have got anywhere: stringMark stands for it.
const (
	stringMark = "\x01"
	password   = "0pen-s3same"
)

// told are the beginnings of what can be wrong: all of it names the culprit, as far as that is known to be no secret.
var told = regexp.MustCompile(`(?m)^(--[a-z-]+[,: ]|environment variable MONGO[A-Z0-9_]+: |unexpected arguments \([0-9]+\)|flag provided but not defined: -[A-Za-z0-9_-]+,|an argument that begins with a dash is no flag)`)

// Whatever the flags and the environment are, they are refused with a text that says which is wrong and repeats no secret, or they are
// settings that the operator can begin to work with.
func FuzzParse(f *testing.F) {
	for _, flags := range []string{
		"", "--help", "now", "--", "-", "---x", "--=\x01", "-\x01", "--\x01=\x01", "--mongodb-uri=\x01", "--mongodb-uri-file=\x01",
		"--mongodb-uri-file=/etc/uri\n--mongodb-database=locks\n--mongodb-collection=locks", "--mongodb-database=\xff", "--mongodb-collection\n\xff",
		"--mongodb-database=" + strings.Repeat("ä", 32), "--mongodb-collection=system.x", "--leader-elect\n\x01", "--leader-elect=\x01",
		"--leader-election-retry-period\n\x01", "--leader-election-retry-period", "--leader-election-lease-duration=-1h", "--leader-election-id=a/b",
		"--zap-log-level=\x01", "--zap-log-level=2000000000", "--zap-encoder=json\n--zap-devel\n--zap-time-encoding=nanos", "--zap-stacktrace-level=x",
		"--kubeconfig\n\x01", "--metrics-bind-address=\x01", "--allow-foreign-ids=t\n--enable-http2",
	} {
		f.Add(flags, "")
		f.Add("", strings.ReplaceAll(strings.TrimPrefix(flags, "--"), "\n--", "\n"))
	}
	for _, environment := range []string{
		"MONGODB_URI=\x01", "MONGODB_URI_FILE=\x01", "MONGODB_DATABASE=\x01", "MONGOLOCK_LEADER_ELECT=\x01\nMONGOLOCK_ZAP_DEVEL=\x01", "POD_NAMESPACE=",
		"MONGOLOCK_LEADER_ELECTION_RETRY_PERIOD=\x01", "MONGOLOCK_ZAP_ENCODER=\x01", "POD_NAMESPACE=here\nMONGOLOCK_LEADER_ELECTION_NAMESPACE=there",
	} {
		f.Add("", environment)
	}
	f.Fuzz(func(t *testing.T, flags, environment string) {
		var args []string
		if flags != "" {
			args = strings.Split(withString(flags), "\n")
		}
		variables := map[string]string{}
		for line := range strings.SplitSeq(withString(environment), "\n") {
			if name, value, ok := strings.Cut(line, "="); ok {
				variables[name] = value
			}
		}
		s, err := parse(args, func(name string) (string, bool) { value, ok := variables[name]; return value, ok })
		switch {
		case errors.Is(err, flag.ErrHelp):
		case err != nil:
			if text := err.Error(); !told.MatchString(text) || strings.Contains(text, password) || strings.Contains(text, "://user") {
				t.Errorf("flags %q, environment %q: %q", args, variables, text)
			}
		default:
			checkSettings(t, s)
		}
	})
}

func withString(lines string) string {
	return strings.ReplaceAll(lines, stringMark, "mongodb://user:"+password+"@host/")
}

// checkSettings: with settings that were accepted a MongoDB can be asked, and a line can be logged.
func checkSettings(t *testing.T, s *settings) {
	t.Helper()
	names := s.database + "." + s.collection
	if err := s.validate(0); err != nil || !utf8.ValidString(names) || len(names) > 255 || strings.ContainsAny(names, "$\x00") ||
		s.database == "" || len(s.database) > 63 || s.collection == "" || strings.Contains(s.uriFile, "://") {
		t.Errorf("accepted: %v, database %q, collection %q, file %q", err, s.database, s.collection, s.uriFile)
	}
	if s.manager.LeaseDuration == nil || s.manager.RenewDeadline == nil || s.manager.RetryPeriod == nil {
		t.Errorf("a time of the election is missing: %s", fmt.Sprint(s.manager.LeaseDuration, s.manager.RenewDeadline, s.manager.RetryPeriod))
	}
	zap.New(zap.UseFlagOptions(&s.zap))
}
