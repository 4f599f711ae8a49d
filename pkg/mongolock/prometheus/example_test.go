/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package prometheus_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
	lockmetrics "github.com/mongolock/operator/pkg/mongolock/prometheus"
)

// database is where this example has its locks; a program has its own.
func database() (db *mongo.Database, done func()) {
	driver, err := mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI()))
	if err != nil {
		log.Fatal(err)
	}
	db = driver.Database("mongolock_example_" + strconv.FormatInt(time.Now().UnixNano(), 36))
	return db, func() {
		if err := errors.Join(db.Drop(context.Background()), driver.Disconnect(context.Background())); err != nil {
			log.Fatal(err)
		}
	}
}

func ExampleNew() {
	ctx := context.Background()
	db, done := database()
	defer done()

	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer, or controller-runtime's metrics.Registry
	metrics, err := lockmetrics.New(registry)
	if err != nil {
		log.Fatal(err)
	}
	client, err := mongolock.New(ctx, db, mongolock.WithMetrics(metrics))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close(ctx) }()

	if err := client.Do(ctx, "reports/nightly", func(context.Context, *mongolock.Lease) error { return nil }); err != nil {
		log.Fatal(err)
	}
	families, err := registry.Gather() // what a scrape of /metrics shows
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range families {
		if strings.Contains(family.GetName(), "hold") {
			fmt.Println(family.GetName(), family.GetMetric()[0].GetHistogram().GetSampleCount())
		}
	}
	// Output: mongolock_hold_duration_seconds 1
}
