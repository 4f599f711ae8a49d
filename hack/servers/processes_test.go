/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package servers_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// prSetChildSubreaper is PR_SET_CHILD_SUBREAPER, which package syscall lacks.
const prSetChildSubreaper = 36

// adoptOrphans makes this process the parent of every descendant that loses its own, so that none can hide.
func adoptOrphans() {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		panic(errno)
	}
}

// children returns the ids of the live children of a process.
func children(parent int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	var pids []int
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // gone meanwhile
		}
		// "pid (name) state parent ...", where the name may hold anything.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if fields[0] == "Z" || fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// descendants returns the ids of the live descendants of a process.
func descendants(of int) map[int]bool {
	all := map[int]bool{}
	for _, child := range children(of) {
		all[child] = true
		maps.Copy(all, descendants(child))
	}
	return all
}

// added returns this process's descendants that are not in before. The workers of the database of TestMain come and
// go, so a process counts only if it does not belong to a server that was there before.
func added(before map[int]bool) map[int]bool {
	all := map[int]bool{}
	for _, child := range children(os.Getpid()) {
		if !before[child] {
			all[child] = true
			maps.Copy(all, descendants(child))
		}
	}
	return all
}

// newest returns the one child of this process that is not in before.
func newest(t *testing.T, before map[int]bool) int {
	t.Helper()
	var pids []int
	for _, child := range children(os.Getpid()) {
		if !before[child] {
			pids = append(pids, child)
		}
	}
	if len(pids) != 1 {
		t.Fatalf("new children: %v, want one", pids)
	}
	return pids[0]
}

// folderOf returns the folder of a server program: its working directory.
func folderOf(t *testing.T, program int) string {
	t.Helper()
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", program))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(dir, "mongolock-") {
		t.Fatalf("working directory of the program: %s", dir)
	}
	return dir
}

// expectNothing fails the test if a process that is not in before lives, or the folder exists.
func expectNothing(t *testing.T, before map[int]bool, folder string) {
	t.Helper()
	if left := added(before); len(left) != 0 {
		t.Errorf("processes left: %v", left)
	}
	if _, err := os.Stat(folder); folder != "" && !os.IsNotExist(err) {
		t.Errorf("folder left: %s (%v)", folder, err)
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(gone); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", gone, what)
		}
	}
}
