/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package servers

import (
	"context"
	"fmt"
	"time"
)

// Restart is RestartAfter without a pause.
func (s *Server) Restart(ctx context.Context) error { return s.RestartAfter(ctx, 0) }

// RestartAfter kills what serves with -9, waits for the pause and starts it again at the same address. It returns when
// that serves again; until then, and possibly once more on each connection from before, clients see errors. ctx bounds
// it, and for a MongoDB so do two minutes, the pause included.
//
//   - A MongoDB has lost nothing that it had acknowledged. What is killed is mongod, or PostgreSQL with all its
//     processes; one in Docker cannot be restarted. FerretDB, which clients talk to, stays: in the pause it accepts
//     connections, and answers commands with errors.
//   - A feed store has lost everything. In the pause, connections are refused.
//   - Kubernetes, and a server that is only used, cannot be restarted.
//
// Where it cannot be, nothing happens. After any other error the server is gone.
func (s *Server) RestartAfter(ctx context.Context, pause time.Duration) error {
	if s.program == nil || s.successor == nil {
		return s.request(ctx, "restart", "restart "+pause.String(), "mongod, FerretDB over PostgreSQL and a feed store")
	}
	if err := s.program.kill(); err != nil {
		return fmt.Errorf("restart %w", err)
	}
	if err := sleep(ctx, pause); err != nil {
		return fmt.Errorf("restart %s: %w", s.program.name, err)
	}
	program, err := start(ctx, s.program.name, s.successor())
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	s.program = program
	return nil
}

// TerminateBackends ends all connections between FerretDB and its PostgreSQL, so that the commands that are being
// carried out fail half way. The server and the connections of its clients stay. It returns a second later, when
// FerretDB uses none of the ended connections any more; until then clients may see errors. ctx bounds it.
//
// Only a MongoDB that is FerretDB over PostgreSQL can do that. With others, nothing happens but an error. After any other
// error the server is gone.
func (s *Server) TerminateBackends(ctx context.Context) error {
	return s.request(ctx, "terminate the backends of", "terminate", "FerretDB over PostgreSQL")
}

// MoveClock moves the clock of the database, from which it takes $$NOW, to the real time plus an offset, and returns when
// the clock shows that. The offset survives a Restart; 0 is the real time again. Clients have their own clock, and what
// the database waits for takes as long as before, with one exception: where a command with maxTimeMS runs while the clock
// is moved back, the database lets it run for so much longer. ctx bounds it.
//
// Only a MongoDB that is FerretDB over PostgreSQL and was started with [StartMongoDBWithClock] can do that. With others,
// nothing happens but an error. After any other error the server is gone.
func (s *Server) MoveClock(ctx context.Context, offset time.Duration) error {
	return s.request(ctx, "move the clock of", "clock "+offset.String(),
		"FerretDB over PostgreSQL, started with StartMongoDBWithClock,")
}

// request makes the server program do something. What that is, and who is able to do it, is for errors.
func (s *Server) request(ctx context.Context, what, request, able string) error {
	if s.program == nil {
		return fmt.Errorf("%s the server: it is one that the user named, not one started here: "+
			"unset MONGODB_URI or USE_EXISTING_CLUSTER for a test that does this", what)
	}
	if err := s.program.request(ctx, request, able); err != nil {
		return fmt.Errorf("%s %w", what, err)
	}
	return nil
}

func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
