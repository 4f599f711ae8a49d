/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/tools/leaderelection"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/mongolock/operator/pkg/mongolock"
)

// Defaults of [ConfigureManager]. Lease and renew deadline are twice what controller-runtime takes for Lease objects: a replica set
// needs ten to twelve seconds to replace a primary that died without notice, and a leader should survive that. A clean stop hands
// over within the retry period's jitter whatever the lease; only after a crash is the whole lease waited for.
const (
	DefaultLeaseDuration = 30 * time.Second
	DefaultRenewDeadline = 20 * time.Second
	DefaultRetryPeriod   = 2 * time.Second
)

// ConfigureManager makes a [Lock] and sets opts so that a manager made with them elects its leader with it:
//
//   - LeaderElection is switched on; without that a manager ignores the lock and every replica leads.
//   - LeaseDuration, RenewDeadline and RetryPeriod are kept if set, otherwise 30 s, 20 s and 2 s.
//   - LeaderElectionID, the name in the leader election metric, is "<namespace>/<name>" unless set.
//   - LeaderElectionReleaseOnCancel is switched on: a manager that stops hands over.
//   - GracefulShutdownTimeout is set to wait for the runnables without limit. With a limit the manager would give leadership up when it
//     is reached, although runnables are still at work. A stop from outside is bounded by whoever stops the process, as Kubernetes does
//     after terminationGracePeriodSeconds; then the lease expires. A loss of leadership is bounded by [Lock.Run].
//
// Of config, Namespace and Name are required. Identity is the host name and a random part if empty, LeaseDuration comes from opts,
// and RequestTimeout is half of the renew deadline, at least a second, if zero.
//
// It refuses what would let two leaders work at a time, or the lock lose its lease for no reason, with an error that matches
// [mongolock.ErrInvalid]; opts are unchanged then. A manager that lost leadership must not go on: start it with
// [Lock.Run], and exit when that has returned.
func ConfigureManager(opts *manager.Options, client *mongolock.Client, config Config) (*Lock, error) {
	if opts == nil {
		return nil, invalid("the manager's options are nil")
	}
	if opts.LeaderElectionResourceLockInterface != nil {
		return nil, invalid("LeaderElectionResourceLockInterface is already set: a manager has one lock")
	}
	if timeout := opts.GracefulShutdownTimeout; timeout != nil && *timeout >= 0 {
		return nil, invalid("GracefulShutdownTimeout is %s: leadership would be given up after it although runnables may still be at "+
			"work; leave it unset, or negative to wait for them", *timeout)
	}
	lease := valueOr(opts.LeaseDuration, DefaultLeaseDuration)
	renew := valueOr(opts.RenewDeadline, DefaultRenewDeadline)
	retry := valueOr(opts.RetryPeriod, DefaultRetryPeriod)
	if err := CheckTimings(lease, renew, retry); err != nil {
		return nil, err
	}
	if config.LeaseDuration != 0 && config.LeaseDuration != lease {
		return nil, invalid("the lock's lease duration is %s and the manager's %s: leave the lock's unset", config.LeaseDuration, lease)
	}
	config.LeaseDuration = lease
	if config.RequestTimeout == 0 {
		config.RequestTimeout = max(time.Second, renew/2)
	}
	if config.Identity == "" {
		config.Identity = processIdentity()
	}
	lock, err := New(client, config)
	if err != nil {
		return nil, err
	}
	lock.manager = opts
	opts.LeaderElection = true
	opts.LeaderElectionResourceLockInterface = lock
	opts.LeaderElectionReleaseOnCancel = true
	opts.LeaseDuration, opts.RenewDeadline, opts.RetryPeriod = &lease, &renew, &retry
	if opts.LeaderElectionID == "" {
		opts.LeaderElectionID = lock.Describe()
	}
	if opts.GracefulShutdownTimeout == nil {
		unlimited := time.Duration(-1)
		opts.GracefulShutdownTimeout = &unlimited
	}
	return lock, nil
}

// CheckTimings refuses timings with which an elector that works as designed keeps leading after its lease, or cannot keep it, with an error
// that matches [mongolock.ErrInvalid]. [ConfigureManager] calls it, too; it is for programs that want to refuse a flag early.
func CheckTimings(lease, renew, retry time.Duration) error {
	if retry <= 0 || lease <= 0 {
		return invalid("RetryPeriod %s and LeaseDuration %s must be positive", retry, lease)
	}
	if least := time.Duration(leaderelection.JitterFactor * float64(retry)); renew <= least {
		return invalid("RenewDeadline %s must be longer than %s, which is RetryPeriod %s times %g: a single failed renewal would end the "+
			"leadership", renew, least, retry, leaderelection.JitterFactor)
	}
	// An elector first sleeps one retry period after a renewal and then tries for the renew deadline. Until then its work goes on.
	if least := renew + retry + margin(lease); lease < least {
		return invalid("LeaseDuration %s must be at least %s, which is RenewDeadline %s plus RetryPeriod %s plus a margin of %s: the "+
			"elector would still lead when its lease is over", lease, least, renew, retry, margin(lease))
	}
	return nil
}

// processIdentity differs from process to process, and from start to start on one host.
func processIdentity() string {
	host, err := os.Hostname()
	if err != nil || len(host) > 200 {
		host = "unknown-host"
	}
	return fmt.Sprintf("%s_%s", host, uuid.NewUUID())
}

func valueOr(set *time.Duration, otherwise time.Duration) time.Duration {
	if set == nil {
		return otherwise
	}
	return *set
}
