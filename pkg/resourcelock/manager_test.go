/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/mongolock/operator/pkg/mongolock"
)

func TestE5E6ConfigureManagerFillsTheOptions(t *testing.T) {
	client := newStore(t).client()
	opts := manager.Options{LeaderElection: false}
	lock, err := ConfigureManager(&opts, client, Config{Namespace: "payments", Name: "controller"})
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case !opts.LeaderElection:
		t.Error("LeaderElection is off: every replica would lead")
	case opts.LeaderElectionResourceLockInterface != lock:
		t.Error("the lock is not in the options")
	case !opts.LeaderElectionReleaseOnCancel:
		t.Error("ReleaseOnCancel is off")
	case opts.LeaderElectionID != "payments/controller":
		t.Errorf("the metric's label is %q", opts.LeaderElectionID)
	case *opts.LeaseDuration != 30*time.Second || *opts.RenewDeadline != 20*time.Second || *opts.RetryPeriod != 2*time.Second:
		t.Errorf("timings %s, %s, %s", opts.LeaseDuration, opts.RenewDeadline, opts.RetryPeriod)
	case *opts.GracefulShutdownTimeout >= 0:
		t.Errorf("GracefulShutdownTimeout %s", opts.GracefulShutdownTimeout)
	case lock.config.RequestTimeout != 10*time.Second:
		t.Errorf("request timeout %s", lock.config.RequestTimeout)
	}
	host, random, found := strings.Cut(lock.Identity(), "_")
	if !found || host == "" || len(random) < 32 {
		t.Errorf("identity %q", lock.Identity())
	}

	var more manager.Options
	other, err := ConfigureManager(&more, client, Config{Namespace: "payments", Name: "controller"})
	if err != nil || other.Identity() == lock.Identity() {
		t.Errorf("two processes would share identity %q, %v", lock.Identity(), err)
	}
}

func TestConfigureManagerKeepsWhatIsSet(t *testing.T) {
	client := newStore(t).client()
	lease, renew, retry, forever := 15*time.Second, 10*time.Second, 2*time.Second, time.Duration(-5)
	opts := manager.Options{
		LeaseDuration: &lease, RenewDeadline: &renew, RetryPeriod: &retry,
		GracefulShutdownTimeout: &forever, LeaderElectionID: "label",
	}
	lock, err := ConfigureManager(&opts, client, Config{Namespace: "ns", Name: "n", Identity: "me", RequestTimeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if *opts.LeaseDuration != lease || *opts.RenewDeadline != renew || *opts.RetryPeriod != retry ||
		*opts.GracefulShutdownTimeout != forever || opts.LeaderElectionID != "label" {
		t.Errorf("options changed: %+v", opts)
	}
	if lock.Identity() != "me" || lock.config.LeaseDuration != lease || lock.config.RequestTimeout != 3*time.Second {
		t.Errorf("lock %+v", lock.config)
	}
}

func TestE4UnsafeSettingsAreRefused(t *testing.T) {
	client := newStore(t).client()
	const s = time.Second
	good := Config{Namespace: "ns", Name: "n"}
	long := strings.Repeat("x", 600)
	for name, c := range map[string]struct {
		lease, renew, retry time.Duration
		change              func(*manager.Options, *Config)
		want                string
	}{
		"no slack at all":       {lease: 11 * s, renew: 10 * s, retry: 2 * s, want: "LeaseDuration 11s must be at least 13s, which is RenewDeadline 10s plus RetryPeriod 2s plus a margin of 1s"},
		"no slack for margin":   {lease: 15 * s, renew: 10 * s, retry: 5 * s, want: "LeaseDuration 15s must be at least 16s"},
		"one renewal only":      {lease: 15 * s, renew: 5 * s, retry: 5 * s, want: "RenewDeadline 5s must be longer than 6s"},
		"no retry period":       {lease: 15 * s, renew: 10 * s, retry: -s, want: "RetryPeriod -1s and LeaseDuration 15s must be positive"},
		"fraction of a second":  {lease: 15*s + s/2, renew: 10 * s, retry: 2 * s, want: "15.5s must be whole seconds"},
		"lease too short":       {lease: s, renew: s / 2, retry: s / 10, want: "1s must be whole seconds from 2s"},
		"lease too long":        {lease: 25 * 3600 * s, renew: 10 * s, retry: 2 * s, want: "to 24h0m0s"},
		"two lease durations":   {lease: 15 * s, renew: 10 * s, retry: 2 * s, change: func(_ *manager.Options, c *Config) { c.LeaseDuration = 20 * s }, want: "20s and the manager's 15s"},
		"no namespace":          {lease: 15 * s, renew: 10 * s, retry: 2 * s, change: func(_ *manager.Options, c *Config) { c.Namespace = "" }, want: "must both be set"},
		"no name":               {lease: 15 * s, renew: 10 * s, retry: 2 * s, change: func(_ *manager.Options, c *Config) { c.Name = "" }, want: "must both be set"},
		"slash":                 {lease: 15 * s, renew: 10 * s, retry: 2 * s, change: func(_ *manager.Options, c *Config) { c.Name = "a/b" }, want: "slash"},
		"long id":               {lease: 15 * s, renew: 10 * s, retry: 2 * s, change: func(_ *manager.Options, c *Config) { c.Name = long }, want: "at most 512 bytes, not 603"},
		"long identity":         {lease: 15 * s, renew: 10 * s, retry: 2 * s, change: func(_ *manager.Options, c *Config) { c.Identity = long }, want: "1 to 256 bytes, not 600"},
		"broken identity":       {lease: 15 * s, renew: 10 * s, retry: 2 * s, change: func(_ *manager.Options, c *Config) { c.Identity = "\xff" }, want: "UTF-8"},
		"request timeout":       {lease: 15 * s, renew: 10 * s, retry: 2 * s, change: func(_ *manager.Options, c *Config) { c.RequestTimeout = 15 * s }, want: "shorter than the lease of 15s"},
		"release while at work": {lease: 15 * s, renew: 10 * s, retry: 2 * s, change: func(o *manager.Options, _ *Config) { o.GracefulShutdownTimeout = new(30 * s) }, want: "GracefulShutdownTimeout is 30s"},
		"another lock":          {lease: 15 * s, renew: 10 * s, retry: 2 * s, change: func(o *manager.Options, _ *Config) { o.LeaderElectionResourceLockInterface = &Lock{} }, want: "already set"},
	} {
		opts, config := manager.Options{LeaseDuration: &c.lease, RenewDeadline: &c.renew, RetryPeriod: &c.retry}, good
		if c.change != nil {
			c.change(&opts, &config)
		}
		_, err := ConfigureManager(&opts, client, config)
		if !errors.Is(err, mongolock.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, got %v", name, c.want, err)
		}
		if opts.LeaderElection || opts.LeaderElectionID != "" {
			t.Errorf("%s: the options were changed", name)
		}
	}
	if _, err := ConfigureManager(&manager.Options{}, nil, good); !errors.Is(err, mongolock.ErrInvalid) {
		t.Errorf("without a client: %v", err)
	}
	if _, err := ConfigureManager(nil, client, good); !errors.Is(err, mongolock.ErrInvalid) {
		t.Errorf("without options: %v", err)
	}
	if _, err := New(client, Config{Namespace: "ns", Name: "n", LeaseDuration: 15 * s}); !errors.Is(err, mongolock.ErrInvalid) {
		t.Errorf("without an identity: %v", err)
	}
}
