/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// kubectlIn runs kubectl with this standard input.
func (e *env) kubectlIn(stdin string, args ...string) (string, error) {
	e.Helper()
	path, err := servers.Kubectl()
	if err != nil {
		e.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(e.Context(), soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"--kubeconfig", servertest.Kubeconfig(), "-n", e.namespace}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// kubectl runs a kubectl that must succeed and whose output must match all patterns.
func (e *env) kubectl(command string, patterns ...string) {
	e.Helper()
	out, err := e.kubectlIn("", strings.Fields(command)...)
	if err != nil {
		e.Errorf("kubectl %s: %v\n%s", command, err, out)
	}
	for _, p := range patterns {
		if !regexp.MustCompile("(?m)" + p).MatchString(out) {
			e.Errorf("kubectl %s: no %q in\n%s", command, p, out)
		}
	}
}

// What people see with the real kubectl.
func TestKubectl(t *testing.T) {
	e := newEnv(t)
	e.operate(servertest.MongoDBURI())
	if out, err := e.kubectlIn(strings.ReplaceAll(`
apiVersion: locks.mongolock.dev/v1alpha1
kind: DistributedLock
metadata: {name: held}
---
apiVersion: locks.mongolock.dev/v1alpha1
kind: DistributedLock
metadata: {name: free}
spec: {id: NS/some/other-id}
`, "NS", e.namespace), "apply", "--server-side", "-f", "-"); err != nil {
		t.Fatalf("apply: %v\n%s", err, out)
	}
	e.kubectl("wait --for=condition=Ready dlock --all --timeout=20s")
	// A wait that is under way ends when the lock is taken.
	waited := make(chan error, 1)
	go func() {
		_, err := e.kubectlIn("", "wait", "--for=condition=Held", "dlock/held", "--timeout=20s")
		waited <- err
	}()
	lease := e.acquire("held", mongolock.WithOwner("worker-1"), mongolock.WithLease(30*time.Second))
	if err := <-waited; err != nil {
		t.Errorf("kubectl wait --for=condition=Held: %v", err)
	}
	e.eventually(soon, "the event", func() bool { return len(e.events("held")) == 1 })

	e.kubectl("get dlock", `^NAME +READY +STATE +HOLDER +TOKEN +SINCE +AGE$`, `^free +True +Free +\d+s$`, `^held +True +Held +worker-1 +\d{13,} +\d+s +\d+s$`)
	e.kubectl("get mongolock -o wide", `AGE +WAITERS +CAPACITY +SUSPENDED +ID +TRANSITIONS +REASON$`, `^free .* `+e.namespace+`/some/other-id +Mirrored$`,
		`^held .* `+e.namespace+`/held +1 +Mirrored$`)
	e.kubectl("get distributedlocks --field-selector status.state=Held -o name", `\Adistributedlock.locks.mongolock.dev/held\n\z`)
	e.kubectl("get dlock --field-selector status.holder=worker-1,status.state!=Free -o name", `\Adistributedlock.locks.mongolock.dev/held\n\z`)
	e.kubectl("get dlock --field-selector status.state=Free -o name", `\Adistributedlock.locks.mongolock.dev/free\n\z`)
	e.kubectl("get dlock held -o yaml", `leaseDuration: 30s`, `acquiredAt: "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"`, `observedGeneration: 1`, `holderCount: 1`)
	e.kubectl("describe dlock held", `^  Holder: +worker-1$`, `Type: +Held$`, `Normal +LockAcquired +\S+ +mongolock-operator +"worker-1" acquired the lock with token \d+`)
	e.kubectl("get events --field-selector reason=LockAcquired", `Normal +LockAcquired +distributedlock/held +"worker-1" acquired the lock`)
	e.kubectl("explain dlock.spec.id", `defaults? to "<namespace>/<name>"`)
	e.computes("held", status.CurrentStatus)

	e.release(lease)
	e.kubectl("wait --for=condition=Held=false dlock/held --timeout=20s")
	e.kubectl("get dlock held", `^held +True +Free +\d{13,} +\d+s +\d+s$`)
	e.kubectl("delete dlock --all", `"held" deleted`, `"free" deleted`)
}
