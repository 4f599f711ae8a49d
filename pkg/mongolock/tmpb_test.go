package mongolock

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func BenchmarkTmpBuild(b *testing.B) {
	s := newSettings(nil)
	for range b.N {
		_ = acquirePipeline(newAcquisition("x", s.lock))
	}
}
func BenchmarkTmpMarshal(b *testing.B) {
	s := newSettings(nil)
	p := acquirePipeline(newAcquisition("x", s.lock))
	b.ReportAllocs()
	for range b.N {
		_, _, _ = bson.MarshalValue(p)
	}
}
func BenchmarkTmpMarshalRelease(b *testing.B) {
	for range b.N {
		_, _, _ = bson.MarshalValue(releasePipeline(grant{}))
	}
}
func BenchmarkTmpDecode(b *testing.B) {
	d := document{ID: "x", V: 2, Policy: Policy{}.stored(), Now: time.Now()}
	d.State.Holders = []holder{{ID: "abc", Owner: "host/1", Meta: []metaPair{}}}
	raw, _ := bson.Marshal(d)
	b.ReportAllocs()
	for range b.N {
		decode(raw)
	}
}
func BenchmarkTmpLockLocal(b *testing.B) {
	c := newClient(context.Background(), newSettings(nil), newFakeStore(), nil, bootTime)
	for range b.N {
		l, err := c.TryLock(context.Background(), "x")
		if err != nil {
			b.Fatal(err)
		}
		l.Unlock(context.Background())
	}
}
