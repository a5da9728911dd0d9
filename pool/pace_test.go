package pool

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// saturate keeps more callers than the limit has slots for a time. It returns when the requests were sent, from the beginning.
func saturate(l *Limit, callers int, serviceTime, lasts time.Duration) (sent []time.Duration) {
	ctx, stop := context.WithTimeout(context.Background(), lasts)
	defer stop()
	begun := time.Now()
	at := make(chan time.Duration)
	for caller := range callers {
		go func() {
			for ctx.Err() == nil && l.acquire(ctx, uint64(caller+1), nil, new(counters)) == nil {
				at <- time.Since(begun)
				began := l.begin()
				time.Sleep(serviceTime)
				l.learn(well, "", began)
				l.release(uint64(caller + 1))
			}
			at <- -1
		}()
	}
	for callers > 0 {
		if t := <-at; t < 0 {
			callers--
		} else {
			sent = append(sent, t)
		}
	}
	return sent
}

func TestRequestsThatWaitAreNotSentInBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, serviceTime, lasts = 100, 50 * time.Millisecond, 5 * time.Second
		sent := saturate(NewLimit(LimitConfig{Most: slots}), 3*slots, serviceTime, lasts)
		if ideal := slots * int(lasts/serviceTime); len(sent) < ideal*98/100 {
			t.Errorf("%d requests were sent, not %d", len(sent), ideal)
		}
		late := sent[slices.IndexFunc(sent, func(at time.Duration) bool { return at > time.Second }):]
		for i := range late[:len(late)-10] {
			if within := late[i+10] - late[i]; within < 3*time.Millisecond { // they have 5 ms
				t.Fatalf("10 requests were sent within %v, from %v on", within, late[i])
			}
		}
	})
}

func TestNoRequestWaitsForAPaceOfFewAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, serviceTime, lasts = 8, 50 * time.Millisecond, 999 * time.Millisecond
		sent := saturate(NewLimit(LimitConfig{Most: slots}), 3*slots, serviceTime, lasts)
		if len(sent) != slots*20 {
			t.Errorf("%d requests were sent", len(sent))
		}
	})
}

func TestARequestThatFindsNoneWaitingWaitsForNoPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimit(LimitConfig{Most: 100})
		saturate(l, 300, 50*time.Millisecond, time.Second)
		for range 5 {
			var stats counters
			for caller := range 100 {
				if err := l.acquire(t.Context(), uint64(caller+1), nil, &stats); err != nil {
					t.Fatal(err)
				}
			}
			for _, caller := range rand.Perm(100) {
				l.release(uint64(caller + 1))
			}
			if n := stats.waits.Load(); n != 0 {
				t.Fatalf("%d of 100 waited", n)
			}
		}
	})
}
