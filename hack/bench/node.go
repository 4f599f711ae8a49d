//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/mongolock/operator/hack/child"
	"github.com/mongolock/operator/hack/screen"
)

// nodeFiles are the worker and the exact versions of what it needs.
//
//go:embed node/worker.js node/package.json node/package-lock.json
var nodeFiles embed.FS

// installNode puts the worker and its packages below the folder out. It is fast when they are there.
func installNode(ctx context.Context, s *screen.Screen, out string) (dir string, err error) {
	dir = filepath.Join(out, "node")
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("%s is not on PATH, and mongo-dlock needs it: install Node.js 20 or later", program)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{"worker.js", "package.json", "package-lock.json"} {
		content, err := nodeFiles.ReadFile("node/" + name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return "", err
		}
	}
	want, err := nodeFiles.ReadFile("node/package-lock.json")
	if err != nil {
		return "", err
	}
	installed := filepath.Join(dir, "installed") // what is installed; written when that is complete
	if have, err := os.ReadFile(installed); err == nil && bytes.Equal(have, want) {
		return dir, nil
	}
	s.Say("Installing mongo-dlock with npm (the first time, a few seconds)")
	defer s.During(ctx, "installing mongo-dlock")()
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if _, err := child.Output(ctx, cmd); err != nil {
		return "", fmt.Errorf("install mongo-dlock: %w", err)
	}
	return dir, os.WriteFile(installed, want, 0o644)
}

// nodeWorker is a process that measures mongo-dlock, one request at a time.
type nodeWorker struct {
	process *process
	stdin   *os.File
	answers chan []byte // closed when the worker's output ends
}

func startNode(dir string) (*nodeWorker, error) {
	cmd := exec.Command("node", "worker.js")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	theirs, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, result, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirs.Close(), stdin.Close())
	}
	cmd.Stdin, cmd.Stdout = theirs, result
	p, err := start("the Node worker", cmd)
	_, _ = theirs.Close(), result.Close()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), stdout.Close())
	}
	w := &nodeWorker{process: p, stdin: stdin, answers: make(chan []byte, 1)}
	go func() { // ends with the worker
		defer close(w.answers)
		defer stdout.Close() //nolint:errcheck // read to its end
		for lines := bufio.NewReader(stdout); ; {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			w.answers <- line
		}
	}()
	return w, nil
}

// ask sends a request and waits for its answer. After an error the worker is of no further use.
func (w *nodeWorker) ask(ctx context.Context, request, answer any) error {
	if err := json.NewEncoder(w.stdin).Encode(request); err != nil {
		return fmt.Errorf("the Node worker takes no requests: %w", err)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case line, ok := <-w.answers:
		if !ok {
			return fmt.Errorf("the Node worker: %w; the reason is on standard error", io.ErrUnexpectedEOF)
		}
		var failure struct{ Error string }
		if err := json.Unmarshal(line, &failure); err != nil || failure.Error != "" {
			return errors.Join(err, errors.New(failure.Error))
		}
		return json.Unmarshal(line, answer)
	}
}

func (w *nodeWorker) stop() error {
	err := w.process.stop()
	for range w.answers { // ends with the worker
	}
	return errors.Join(err, w.stdin.Close())
}
