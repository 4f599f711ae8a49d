/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopTimeout bounds Stop. The programs kill what does not end within 10 s, so it is not reached unless one hangs.
const stopTimeout = 40 * time.Second

// A program is a server program that runs. Package hack/supervise says what it answers to.
type program struct {
	name    string
	cmd     *exec.Cmd
	address string
	stdin   *os.File // it serves until this is closed
	stdout  *os.File
	lines   *bufio.Reader // of stdout
	stop    func() error  // end, once
}

// start runs a server program and waits for the line with its address. It keeps no goroutine: the program reads the
// end of a pipe that lives as long as this process, and writes errors to our standard error itself.
func start(ctx context.Context, name string, cmd *exec.Cmd) (*program, error) {
	stdin, keepOpen, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, answers, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), keepOpen.Close())
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, answers, os.Stderr
	// A group of its own: the terminal's Ctrl-C ends this process, and that ends the server.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	_, _ = stdin.Close(), answers.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), keepOpen.Close(), stdout.Close())
	}

	p := &program{name: name, cmd: cmd, stdin: keepOpen, stdout: stdout, lines: bufio.NewReader(stdout)}
	p.stop = sync.OnceValue(p.end)
	if p.address, err = p.answer(ctx); err != nil {
		return nil, fmt.Errorf("start %w", err)
	}
	return p, nil
}

// request makes the program do what package hack/supervise calls a request, and waits until it serves again. Where it
// cannot do that, able says in the error which servers can.
func (p *program) request(ctx context.Context, request, able string) error {
	if _, err := fmt.Fprintln(p.stdin, request); err != nil {
		return p.doesNotRun(err)
	}
	answer, err := p.answer(ctx)
	if err != nil {
		return err
	}
	if answer != p.address {
		return fmt.Errorf("%s: %s; %s can", p.name, answer, able)
	}
	return nil
}

// answer waits for a line from the program. If none comes, it stops the program.
func (p *program) answer(ctx context.Context) (string, error) {
	defer context.AfterFunc(ctx, func() { _ = p.stdout.SetReadDeadline(time.Now()) })()
	line, err := p.lines.ReadString('\n')
	if err == nil {
		return strings.TrimSuffix(line, "\n"), nil
	}
	_ = p.stop()
	if ctx.Err() != nil {
		return "", fmt.Errorf("%s: %w", p.name, context.Cause(ctx))
	}
	return "", fmt.Errorf("%s: it gave up; the reason is on standard error", p.name)
}

// kill kills the program with -9, and returns when it is gone.
func (p *program) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return p.doesNotRun(err)
	}
	_ = p.stop() // it says that the program was killed
	return nil
}

func (p *program) doesNotRun(err error) error {
	return fmt.Errorf("%s: it does not run: %w", p.name, err)
}

// end stops the program by closing its standard input.
func (p *program) end() error {
	_ = p.stdin.Close()
	hung := time.AfterFunc(stopTimeout, func() { _ = p.cmd.Process.Kill() })
	defer hung.Stop()
	err := p.cmd.Wait()
	_ = p.stdout.Close()
	if err != nil {
		return fmt.Errorf("%s ended by itself or did not stop: %w", p.name, err)
	}
	return nil
}
