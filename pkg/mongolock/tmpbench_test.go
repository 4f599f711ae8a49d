package mongolock

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func TestTmpBench(t *testing.T) {
	s := newTestServer(t)
	c, err := New(t.Context(), s.driver.Database(s.database))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	st := c.store.(*mongoStore)
	plain := st.coll.Database().Collection("plain")
	plain.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "f"}, {Key: "x", Value: 0}})
	ctx := t.Context()
	n := 0
	for _, id := range []string{"a", "b", "c", "d", "e", "g", "h","i"} {
		for range 20 {
			mustUnlock(t, mustLock(t, c, id))
		}
	}
	held := mustLock(t, c, "held")
	fmt.Println("p50 bytes", len(s.raw(t, "c")), s.indexes(t))
	for _, k := range []int{0, 4, 8, 12} {
		id := fmt.Sprint("k", k)
		mustUnlock(t, mustLock(t, c, id))
		s.setStored(t, id, "state.events", s.stored(t, "c").State.Events[:k])
		fmt.Println("p50 bytes", k, len(s.raw(t, id)))
	}
	_ = held
	after := func(p any) *options.FindOneAndUpdateOptionsBuilder {
		o := options.FindOneAndUpdate().SetReturnDocument(options.After)
		if p != nil {
			o.SetProjection(p)
		}
		return o
	}
	reset := func(id string) {
	}
	_ = reset
	var lease *Lease
	var tok int64
	aq := newAcquisition("b", c.settings.lock)
	type step struct {
		name string
		f    func()
	}
	must := func(err error) {
		if err != nil && err != mongo.ErrNoDocuments {
			t.Fatal(err)
		}
	}
	raw0, _ := bson.Marshal(acquirePipeline(newAcquisition("held", c.settings.lock))[0])
	praw, _ := bson.Marshal(tryProjection())
	deny := func(ctx context.Context, build bool) {
		if build {
			must(st.coll.FindOneAndUpdate(ctx, anyByID("held"), acquirePipeline(newAcquisition("held", c.settings.lock)), after(tryProjection())).Err())
			return
		}
		must(st.coll.FindOneAndUpdate(ctx, anyByID("held"), []bson.Raw{raw0}, after(bson.Raw(praw))).Err())
	}
	pairs := []step{
		{"floor FAU", func() { n++; must(plain.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: "f"}}, bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: n}}}}, after(nil)).Err()) }},
		{"floor UO", func() { n++; _, err := plain.UpdateOne(ctx, bson.D{{Key: "_id", Value: "f"}}, bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: n}}}}); must(err) }},
		{"TryLock a", func() { var err error; lease, err = c.TryLock(ctx, "a"); must(err) }},
		{"Unlock a", func() { must(lease.Unlock(ctx)) }},
		{"store.acquire b", func() {
			aq = newAcquisition("b", c.settings.lock)
			doc, err := st.acquire(ctx, aq)
			must(err)
			h, _ := doc.grant(aq.holderID)
			tok = h.Token
		}},
		{"store.release b", func() {
			d, err := st.release(ctx, grant{grantRef: aq.ref(), owner: aq.owner, token: tok})
			must(err)
			if !d.found {
				t.Fatal("not found")
			}
		}},
		{"denied TryLock", func() { c.TryLock(ctx, "held") }},
		{"FAU set x on c, proj", func() { n++; must(st.coll.FindOneAndUpdate(ctx, anyByID("c"), bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: n}}}}, after(tryProjection())).Err()) }},
		{"D0 engine denied", func() { deny(ctx, true) }},
		{"D1 deadline", func() { ctx, cancel := context.WithTimeout(ctx, 5*time.Second); defer cancel(); deny(ctx, true) }},
		{"D3 cancel", func() { ctx, cancel := context.WithCancel(ctx); defer cancel(); deny(ctx, true) }},
		{"D4 raw", func() { deny(ctx, false) }},
		{"D5 raw no lsid", func() { deny(mongo.NewSessionContext(ctx, nil), false) }},
		{"floor FAU deadline", func() { n++; ctx, cancel := context.WithTimeout(ctx, 5*time.Second); defer cancel();  must(plain.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: "f"}}, bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: n}}}}, after(nil)).Err()) }},
	}
	lat := make([][]time.Duration, len(pairs))
	for r := range 1200 {
		for _, i := range rand.Perm(len(pairs)) {
			if pairs[i].name == "Unlock a" || pairs[i].name == "store.release b" {
				continue
			}
			for j := i; j <= i+1 && j < len(pairs); j++ {
				if j > i && pairs[j].name != "Unlock a" && pairs[j].name != "store.release b" {
					break
				}
				b := time.Now()
				pairs[j].f()
				if r >= 200 {
					lat[j] = append(lat[j], time.Since(b))
				}
			}
		}
	}
	for i, p := range pairs {
		slices.Sort(lat[i])
		fmt.Printf("%-40s p25 %.3f p50 %.3f\n", p.name, float64(lat[i][len(lat[i])/4])/1e6, float64(lat[i][len(lat[i])/2])/1e6)
	}
}
