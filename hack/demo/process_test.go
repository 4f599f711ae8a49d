//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// cat starts a process that lives until its input ends.
func cat(t *testing.T, ended func(error)) *process {
	t.Helper()
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := start("cat", cmd, stdin, ended)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProcessStop(t *testing.T) {
	never := func(err error) { t.Errorf("it was asked to end, but: %v", err) }
	stopped := cat(t, never)
	if running, err := descendants(); err != nil || running[stopped.Cmd.Process.Pid] != "cat" {
		t.Errorf("cat is not among %v, %v", running, err)
	}
	for range 2 {
		if err := stopped.stop(); err != nil {
			t.Error(err)
		}
	}
	killed := cat(t, never)
	killed.kill()
	if err := killed.stop(); err != nil || killed.Alive() {
		t.Errorf("after the kill: %v", err)
	}
	if running, err := descendants(); err != nil || len(running) != 0 {
		t.Errorf("left: %v, %v", running, err)
	}
}

func TestProcessEndsByItself(t *testing.T) {
	ended := make(chan error, 1)
	p := cat(t, func(err error) { ended <- err })
	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || err.Error() != "cat ended by itself: exit status 0" {
		t.Errorf("got %v", err)
	}
	if err := p.stop(); err == nil {
		t.Error("that it had ended was not noticed")
	}
}

func TestProcessStopTellsOfFailure(t *testing.T) {
	cmd := exec.Command("sh", "-c", "read line; exit 3")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := start("sh", cmd, stdin, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(); err == nil {
		t.Error("exit status 3 is no good end")
	}
}

func TestFolder(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	stale := filepath.Join(os.TempDir(), folderPrefix+"stale")
	if err := os.Mkdir(stale, 0o700); err != nil {
		t.Fatal(err)
	}
	first, removeFirst, err := makeFolder()
	if err != nil {
		t.Fatal(err)
	}
	second, removeSecond, err := makeFolder()
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{stale: false, first: true, second: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v, want it to exist: %t", dir, err, want)
		}
	}
	if err := errors.Join(removeFirst(), removeSecond()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
