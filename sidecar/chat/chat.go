// Package chat answers what a bot asks: a chat's history, the messages relevant to a text, whether the bot is muted, what
// Odoo knows; and it writes messages and mutes. It is the API without HTTP.
//
// Start at [Service]. Each operation is one file: history.go, relevant.go, mute.go, append.go (with identity.go, the names
// that messages are stored under), models.go, call.go, preprocess.go, drop.go. A read has two methods: HeldX answers from memory and
// never waits; X may wait. Both ask cache, which decides whether an upstream is asked. The replies that it holds are encoded here, once
// (render.go: histories).
//
// An error is of a type of this package (errors.go), of cache, or of pool/…. The package knows no statuses, no headers and no
// problems: sidecar/problem.go says what an error is to a caller.
package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"hearth/cache"
	"hearth/internal/executor"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
)

// Config of a service.
type Config struct {
	Weaviate *weaviate.Client // nil: calls that need it fail with a NotConfiguredError
	Odoo     *odoo.Client     // nil: likewise
	// NoWeaviate and NoOdoo say which variables are missing.
	NoWeaviate, NoOdoo string

	Cache    *cache.Cache
	Policies map[cache.Resource]cache.Policy // a resource that has none is never fresh

	// OutOfTime is called when the time of an operation ends while it waits for an upstream. nil: it is not called.
	OutOfTime func(upstream string, waited time.Duration)

	OdooModels []string // asked for by default
	OdooRoutes []string // routes of preprocess that want the models

	Preview int // grapheme clusters of an older message in a prompt; default 200
	Workers int // parts of one preprocess at the same time; default 5

	Waits *executor.Waits // counts the parts that wait for a worker; nil: nobody wants to know
}

// withDefaults also replaces numbers that are not positive, so that Hearth serves with a faulty setting.
func (c Config) withDefaults() Config {
	if c.Preview <= 0 {
		c.Preview = 200
	}
	if c.Workers <= 0 {
		c.Workers = 5
	}
	return c
}

func (c Config) validate() error {
	if c.Cache == nil {
		return errors.New("chat: Config.Cache must be set")
	}
	return nil
}

// Service is safe for concurrent use.
type Service struct {
	cfg             Config
	muted, notMuted []byte // a wire.MuteStatus
}

// New makes a service. It starts nothing.
func New(cfg Config) (*Service, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Service{cfg: cfg.withDefaults(), muted: []byte(`{"muted":true}`), notMuted: []byte(`{"muted":false}`)}, nil
}

// messageChat returns the name of a chat in the class of messages, which is the same for every spelling. again means that Weaviate is
// asked for a missing class again, even if it was asked a moment ago.
func (s *Service) messageChat(ctx context.Context, spelled string, again bool) (string, error) {
	if err := s.askWeaviate(again); err != nil {
		return "", err
	}
	return s.cfg.Weaviate.MessageChat(ctx, spelled)
}

// muteChat is messageChat for the class of mutes.
func (s *Service) muteChat(ctx context.Context, spelled string, again bool) (string, error) {
	if err := s.askWeaviate(again); err != nil {
		return "", err
	}
	return s.cfg.Weaviate.MuteChat(ctx, spelled)
}

func (s *Service) askWeaviate(again bool) error {
	if s.cfg.Weaviate == nil {
		return &NotConfiguredError{"weaviate", s.cfg.NoWeaviate}
	}
	if again {
		s.cfg.Weaviate.AskAgainIfMissing()
	}
	return nil
}

// Encode writes JSON as the API does: it does not escape for HTML, and adds no line feed.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// AppendString appends a text as a JSON string.
func AppendString(b []byte, text string) []byte {
	if plain(text) {
		return append(append(append(b, '"'), text...), '"')
	}
	quoted, err := Encode(text)
	if err != nil { // a string always encodes
		panic(err)
	}
	return append(b, quoted...)
}

// around writes JSON, which is valid, between two texts, without the white space between its tokens. It takes half the time of
// json.Compact, which would check the JSON again, and allocates once: an answer of Odoo may be large.
func around(before string, value json.RawMessage, after string) []byte {
	b := append(make([]byte, 0, len(before)+len(value)+len(after)), before...)
	from, inText := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case !inText && (c == ' ' || c == '\n' || c == '\r' || c == '\t'):
			b = append(b, value[from:i]...)
			from = i + 1
		}
	}
	return append(append(b, value[from:]...), after...)
}
