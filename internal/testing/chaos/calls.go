package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hearth/client"
	"hearth/client/wire"
	"hearth/internal/testing/lab/bot"
)

// call is a call of the API.
type call struct {
	name string
	make func(t *truth, chat string) attempt
}

// attempt is a request of a call, and how its reply is judged.
type attempt struct {
	method, path string
	body         any                    // nil: none
	settle       bot.Settle             // tells the bot the outcome of a write; nil: it is no write
	contact      string                 // name of the contact that the request creates; empty: none
	judge        func(r *reply) verdict // judges a reply that is no problem

	// then makes the request that follows a right reply; nil: none follows.
	then func(r *reply) attempt
}

// truth knows what right replies hold: what was written, and the versions of the page to fetch.
type truth struct {
	*bot.Bot

	web      *web
	deadline time.Duration // of every call
}

// calls returns all calls of the API.
func calls() []call {
	return []call{
		{"history", history},
		{"relevant", relevant},
		{"mute", mute},
		{"set mute", setMute},
		{"messages", messages},
		{"preprocess", preprocess},
		{"odoo models", odooModels},
		{"odoo read", odooRead},
		{"odoo write", odooWrite},
		{"batch", batch},
		{"fetch", fetch},
		{"job", job},
		{"drop cache", dropCache},
		{"healthz", always[wire.Health]("/healthz")},
		{"readyz", readyz},
		{"debug cache", always[wire.CacheStats]("/debug/cache")},
		{"debug pools", always[wire.Pools]("/debug/pools")},
		{"timings", timings},
		{"debug invocations", always[wire.Invocations]("/debug/invocations")},
		{"metrics", metrics},
	}
}

func chatPath(chat, what string) string {
	return "/v1/chats/" + url.PathEscape(chat) + "/" + what
}

func history(t *truth, chat string) attempt {
	return attempt{
		method: http.MethodGet, path: fmt.Sprintf("%s?num_messages=%d&full_text_len=%d", chatPath(chat, "history"), bot.Messages, bot.Messages),
		judge: func(r *reply) verdict {
			var h client.History
			return r.decoded(&h, r.stale(), func(f bot.Freshness) error { return t.JudgeHistory(chat, &h, r.asked, f) })
		},
	}
}

func relevant(t *truth, chat string) attempt {
	return attempt{
		method: http.MethodPost, path: chatPath(chat, "relevant"), body: wire.RelevantRequest{Text: bot.Text, Count: bot.Relevant},
		judge: func(r *reply) verdict {
			var got wire.Relevant
			return r.decoded(&got, r.stale(), func(f bot.Freshness) error { return t.JudgeRelevant(chat, got.RelevantMessages, r.asked, f) })
		},
	}
}

func mute(t *truth, chat string) attempt {
	return attempt{
		method: http.MethodGet, path: chatPath(chat, "mute"),
		judge: func(r *reply) verdict {
			var m wire.Mute
			return r.decoded(&m, r.stale(), func(f bot.Freshness) error { return t.JudgeMute(chat, m, r.asked, f) })
		},
	}
}

func setMute(t *truth, chat string) attempt {
	m, settle := t.NewMute(chat)
	return attempt{method: http.MethodPut, path: chatPath(chat, "mute"), body: m, settle: settle, judge: done}
}

func messages(t *truth, chat string) attempt {
	list, settle := t.NewMessages(chat)
	return attempt{
		method: http.MethodPost, path: chatPath(chat, "messages"), body: list, settle: settle,
		judge: func(r *reply) verdict {
			var a wire.Appended
			return r.decoded(&a, false, func(bot.Freshness) error {
				if len(a.IDs) != len(list) {
					return fmt.Errorf("%d ids for %d messages", len(a.IDs), len(list))
				}
				return nil
			})
		},
	}
}

// partsOfPreprocess returns all parts, because a preprocess here asks for all.
func partsOfPreprocess() []string {
	return []string{wire.PartMute, wire.PartRelevant, wire.PartOdoo, wire.PartHistory}
}

func preprocess(t *truth, chat string) attempt {
	body := t.Request(chat)
	body.TimeoutMS = int(t.deadline / time.Millisecond)
	return attempt{
		method: http.MethodPost, path: wire.PathPreprocess, body: body,
		judge: func(r *reply) verdict { return judgeParts(r, t, chat) },
	}
}

// judgeParts judges each part of a preprocess as a reply of its own, and returns the gravest verdict.
func judgeParts(r *reply, t *truth, chat string) verdict {
	var p wire.Preprocess
	if err := json.Unmarshal(r.body, &p); err != nil {
		return wrong("the reply is not a preprocess: %v", err)
	}
	gravest := verdict{what: right}
	for _, part := range partsOfPreprocess() {
		v := judgePart(r, t, chat, part, p)
		if v.what > gravest.what {
			gravest = v
		}
	}
	return gravest
}

func judgePart(r *reply, t *truth, chat, part string, p wire.Preprocess) verdict {
	problem, came := problemOfPart(p, part), true
	judge := func(bot.Freshness) error { return nil }
	switch part {
	case wire.PartMute:
		if came = p.MuteStatus != nil; came {
			judge = func(f bot.Freshness) error { return t.JudgeMuted(chat, p.MuteStatus.Muted, r.asked, f) }
		}
	case wire.PartRelevant:
		came = strings.Contains(string(r.body), `"relevant_messages":[`)
		judge = func(f bot.Freshness) error { return t.JudgeRelevant(chat, p.RelevantMessages, r.asked, f) }
	case wire.PartOdoo:
		came = len(p.OdooModels) > 0
		judge = func(f bot.Freshness) error { return t.JudgeModels(p.OdooModels, f) }
	case wire.PartHistory:
		if came = p.History != nil; came {
			judge = func(f bot.Freshness) error { return t.JudgeHistory(chat, p.History, r.asked, f) }
		}
	}
	switch {
	case problem != nil && came:
		return wrong("%s came and has a problem too: %s", part, problem.Detail)
	case problem != nil:
		return r.judgeProblem(problem, false)
	case !came:
		return wrong("%s is missing without a problem", part)
	}
	v := r.allowed(p.Cache[part] == "stale", judge)
	if v.what == isWrong {
		v.why = part + ": " + v.why
	}
	return v
}

// problemOfPart is the problem of a part. The problem of a model counts as that of the Odoo part.
func problemOfPart(p wire.Preprocess, part string) *wire.Problem {
	for name, problem := range p.Errors {
		if name == part || strings.HasPrefix(name, part+".") {
			return problem
		}
	}
	return nil
}

func odooModels(t *truth, _ string) attempt {
	return attempt{
		method: http.MethodGet, path: wire.PathOdooModels,
		judge: func(r *reply) verdict {
			var m wire.Models
			return r.decoded(&m, r.stale(), func(f bot.Freshness) error { return t.JudgeModels(m.Models, f) })
		},
	}
}

func odooRead(t *truth, _ string) attempt {
	return attempt{
		method: http.MethodPost, path: wire.PathOdooCall, body: t.ReadContacts(),
		judge: func(r *reply) verdict {
			var got wire.Result
			return r.decoded(&got, r.stale(), func(f bot.Freshness) error { return t.JudgeContacts(got.Result, r.asked, f) })
		},
	}
}

func odooWrite(t *truth, _ string) attempt {
	name, create, settle := t.NewContact()
	return attempt{method: http.MethodPost, path: wire.PathOdooCall, body: create, settle: settle, contact: name, judge: done}
}

func dropCache(_ *truth, chat string) attempt {
	return attempt{method: http.MethodDelete, path: wire.PathCache + "?chat=" + url.QueryEscape(chat+" of another"), judge: as[wire.Dropped]}
}

func timings(*truth, string) attempt {
	body := wire.Timings{Timings: []wire.Timing{{Operation: "lambda_handler_total", DurationMS: 12.5}}}
	return attempt{method: http.MethodPost, path: wire.PathTimings, body: body, judge: done}
}

func metrics(*truth, string) attempt {
	return attempt{method: http.MethodGet, path: wire.PathMetrics, judge: func(r *reply) verdict {
		if !strings.Contains(string(r.body), "\nhearth_cache_bytes ") {
			return wrong("the reply has no metrics: %.200s", r.body)
		}
		return verdict{what: right}
	}}
}

// always makes a call that needs no upstream, and so is always right.
func always[T any](path string) func(*truth, string) attempt {
	return func(*truth, string) attempt {
		return attempt{method: http.MethodGet, path: path, judge: as[T]}
	}
}

func readyz(*truth, string) attempt {
	return attempt{method: http.MethodGet, path: wire.PathReady, judge: func(r *reply) verdict {
		var got wire.Readiness
		if err := json.Unmarshal(r.body, &got); err != nil || len(got.Upstreams) != 2 {
			return wrong("the reply is not a readiness: %v", err)
		}
		if !got.Ready {
			return verdict{what: failed, kind: "not-ready"}
		}
		return verdict{what: right}
	}}
}

// as judges only whether the reply has the type T.
func as[T any](r *reply) verdict {
	var v T
	return r.decoded(&v, false, func(bot.Freshness) error { return nil })
}

// done judges the reply of a write: its status says all.
func done(*reply) verdict { return verdict{what: right} }
