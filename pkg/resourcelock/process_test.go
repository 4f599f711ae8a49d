/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// drain is how long the managers' work goes on after it was told to stop.
const drain = 200 * time.Millisecond

// The process tests run this test binary again, as a program with a manager: see TestMain.
const (
	envRole       = "RESOURCELOCK_TEST_MANAGER"
	envDatabase   = "RESOURCELOCK_TEST_DATABASE"
	envKubeconfig = "RESOURCELOCK_TEST_KUBECONFIG"
	envURI        = "RESOURCELOCK_TEST_URI"
)

// managerProcess is the program: a manager whose only work is to say on standard output that it works, with its token.
func managerProcess() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() { // end with the test process
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	client, err := mongolock.Connect(ctx, os.Getenv(envURI), mongolock.WithDatabase(os.Getenv(envDatabase)))
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv(envKubeconfig))
	if err != nil {
		return err
	}
	opts := manager.Options{
		LeaseDuration: new(testLease), RenewDeadline: new(testRenewDeadline), RetryPeriod: new(testRetryPeriod),
		Metrics: metricsserver.Options{BindAddress: "0"},
	}
	lock, err := ConfigureManager(&opts, client, Config{Namespace: testNamespace, Name: testName})
	if err != nil {
		return err
	}
	mgr, err := manager.New(config, opts)
	if err != nil {
		return err
	}
	work := func(ctx context.Context) error {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		until := make(<-chan time.Time)
		for stopping := ctx.Done(); ; {
			select {
			case <-ticker.C:
				if token, ok := lock.Token(); ok {
					fmt.Println("work", os.Getpid(), token)
				}
			case <-stopping:
				stopping, until = nil, time.After(drain)
			case <-until:
				fmt.Println("idle", os.Getpid(), 0)
				return nil
			}
		}
	}
	if err := mgr.Add(manager.RunnableFunc(work)); err != nil {
		return err
	}
	fmt.Println("candidate", os.Getpid(), 0)
	if err := lock.Run(ctx, mgr); err != nil {
		return err
	}
	return client.Close(context.WithoutCancel(ctx))
}

// line is what one of the processes said: all write into one pipe, so that the order of the lines is that of the writes.
type line struct {
	what  string
	pid   int
	token int64
	at    time.Time
}

// fleet is several managers in processes of their own.
type fleet struct {
	s     *store
	out   *os.File
	lines chan line
	last  line // the last work seen
}

func newFleet(s *store) *fleet {
	s.t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	f := &fleet{s: s, out: out, lines: make(chan line, 100_000)}
	read := make(chan struct{})
	go func() { // ends when the last process has closed the pipe
		defer close(read)
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			l := line{at: time.Now()}
			if n, _ := fmt.Sscan(scanner.Text(), &l.what, &l.pid, &l.token); n == 3 {
				f.lines <- l
			}
		}
	}()
	s.t.Cleanup(func() {
		_ = out.Close()
		<-read
		_ = in.Close()
	})
	return f
}

// process is one manager.
type process struct {
	*exec.Cmd
	exited chan struct{}
	log    *strings.Builder // valid once exited
}

func (f *fleet) start() *process {
	f.s.t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0]), exited: make(chan struct{}), log: &strings.Builder{}}
	p.Env = append(os.Environ(), envRole+"=1", envDatabase+"="+f.s.database,
		envKubeconfig+"="+servertest.Kubeconfig(), envURI+"="+servertest.MongoDBURI())
	p.Stdout, p.Stderr = f.out, p.log
	stdin, err := p.StdinPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		f.s.t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		_ = p.Wait() // the state tells
	}()
	f.s.t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.exited
		_ = stdin.Close()
		if f.s.t.Failed() {
			f.s.t.Logf("process %d, %s:\n%s", p.Process.Pid, p.ProcessState, p.log)
		}
	})
	f.until(10*time.Second, "the process to be a candidate", func(l line) bool {
		return l.what == "candidate" && l.pid == p.Process.Pid
	})
	return p
}

// until reads lines up to the first that fits, and fails the test if one shows that two led at a time.
func (f *fleet) until(limit time.Duration, what string, fits func(line) bool) line {
	f.s.t.Helper()
	timeout := time.After(limit)
	for {
		select {
		case l := <-f.lines:
			if l.what == "work" {
				if l.token < f.last.token || l.token == f.last.token && l.pid != f.last.pid {
					f.s.t.Fatalf("%d works with token %d after %d worked with token %d", l.pid, l.token, f.last.pid, f.last.token)
				}
				f.last = l
			}
			if fits(l) {
				return l
			}
		case <-timeout:
			f.s.t.Fatalf("waited %s for %s", limit, what)
		}
	}
}

func (f *fleet) watch(d time.Duration) {
	f.s.t.Helper()
	end := time.Now().Add(d)
	f.until(d+slow, "work to go on", func(l line) bool { return l.what == "work" && l.at.After(end) })
}

func (f *fleet) worker(limit time.Duration, what string, not *process) line {
	f.s.t.Helper()
	return f.until(limit, what, func(l line) bool { return l.what == "work" && (not == nil || l.pid != not.Process.Pid) })
}

func TestManagersInRealProcesses(t *testing.T) {
	s := newStore(t)
	f := newFleet(s)
	processes := map[int]*process{}
	add := func() {
		p := f.start()
		processes[p.Process.Pid] = p
	}
	for range 3 {
		add()
	}
	leader := processes[f.worker(5*time.Second, "a leader", nil).pid]
	f.watch(2 * longestRetry)
	if f.last.pid != leader.Process.Pid {
		t.Fatal("leadership moved without a reason")
	}

	// kill -9 hands over within the lease plus 5 s.
	killed := time.Now()
	if err := leader.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first := f.worker(testLease+5*time.Second, "a leader after kill -9", leader)
	t.Logf("kill -9: another manager works after %s, the lease is %s", first.at.Sub(killed).Round(time.Millisecond), testLease)

	// SIGTERM hands over at the next retry, and not before the work has ended.
	leader = processes[first.pid]
	add()
	if err := leader.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	idle := f.until(drain+2*slow, "the work to end", func(l line) bool { return l.what == "idle" && l.pid == leader.Process.Pid })
	first = f.worker(longestRetry+slow, "a leader after SIGTERM", leader)
	t.Logf("SIGTERM: another manager works %s after the last has stopped", first.at.Sub(idle.at).Round(time.Millisecond))
	within(t, 2*slow, leader.exited, "exit")
	if code := leader.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %s after SIGTERM", strconv.Itoa(code))
	}

	// S18: a leader that was stopped for longer than its lease does no more work when it goes on, and ends at once.
	leader = processes[first.pid]
	if err := leader.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	f.worker(testLease+5*time.Second, "a leader after SIGSTOP", leader)
	if err := leader.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	within(t, drain+slow, leader.exited, "exit of the deposed leader, long before its renew deadline")
	if leader.ProcessState.ExitCode() != 1 || !strings.Contains(leader.log.String(), "leadership was lost") {
		t.Errorf("the deposed leader ended with %s: %s", leader.ProcessState, leader.log)
	}
	f.watch(testRetryPeriod)
}
