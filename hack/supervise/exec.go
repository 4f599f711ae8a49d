/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package supervise

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// ExecBound becomes the program at path, which dies with the process whose id is parent: for a process that a library
// starts without asking for that. It returns only on failure.
func ExecBound(path string, parent int) error {
	// The request belongs to the thread that makes it; the same one has to become the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
	if errno != 0 {
		return errno
	}
	if os.Getppid() != parent {
		return errors.New("the parent has died")
	}
	return syscall.Exec(path, append([]string{path}, os.Args[1:]...), os.Environ())
}
