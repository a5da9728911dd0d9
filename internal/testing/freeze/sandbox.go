package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"hearth/client"
	"hearth/internal/testing/lambdatest"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

const (
	rtt      = 20 * time.Millisecond
	timeout  = 2 * time.Second // of a call to an upstream: what waits for a dead connection fails
	chats    = 4
	messages = 10  // of a history, per role
	relevant = 100 // at most; all of a chat's are
	odooKey  = "key"

	freshHistory  = 2 * time.Second // the defaults
	freshRelevant = time.Minute
	freshMute     = 5 * time.Second
	freshOdoo     = time.Second
)

// sandbox is a frozen one: the real extension in it, its upstreams behind proxies, and the handler out here, where
// time is measured.
type sandbox struct {
	number    int
	idleLimit time.Duration // of its connections
	narrow    bool          // Odoo has the default of two connections: a refresh that froze on its way may hold both
	tally     *tally
	oracle    oracle
	messages  *weaviatetest.Server
	contacts  *odootest.Server
	rest      upstream // of Weaviate
	grpc      upstream // of Weaviate
	odoo      upstream
	host      *lambdatest.Host
	extension *lambdatest.Process
	hearth    *client.Client
	clocks    clocks

	label   atomic.Int64 // of Odoo's field phone: another sandbox changes it in each freeze
	round   round        // changes between invocations only
	frozen  int          // how often; likewise
	written int          // guarded by oracle.mu; numbers the values
}

// upstream is a stand-in behind TLS, and the wire before it.
type upstream struct {
	server *testnet.Server
	wire   *testnet.Proxy
}

func serve(h http.Handler, http2 bool) (u upstream, err error) {
	if u.server, err = testnet.Serve(h, testnet.Config{TLS: true, HTTP2: http2}); err != nil {
		return u, err
	}
	u.wire, err = testnet.NewProxy(u.server.Addr, rtt)
	return u, err
}

func (u upstream) close() (err error) {
	if u.wire != nil {
		u.wire.Close()
	}
	if u.server != nil {
		err = u.server.Close()
	}
	return err
}

// start starts the sandbox of a binary in its folder, with the defence switched off that without names.
func start(ctx context.Context, dir, binary, without string, n int, t *tally) (s *sandbox, err error) {
	s = &sandbox{
		number: n, idleLimit: sandboxLimits()[n], narrow: n%2 == 1, tally: t,
		messages: weaviatetest.New(), contacts: odootest.New(odootest.Config{Key: odooKey}),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	if s.rest, err = serve(s.messages, false); err != nil { //nolint:contextcheck // their lives end with close
		return s, err
	}
	if s.grpc, err = serve(s.messages, true); err != nil { //nolint:contextcheck // likewise
		return s, err
	}
	if s.odoo, err = serve(s.relabeled(), false); err != nil { //nolint:contextcheck // likewise
		return s, err
	}
	ca := filepath.Join(dir, "ca.pem")
	if err = os.WriteFile(ca, slices.Concat(s.rest.server.CA, s.grpc.server.CA, s.odoo.server.CA), 0o600); err != nil {
		return s, err
	}
	if s.clocks.file, err = os.Create(filepath.Join(dir, "clocks")); err != nil {
		return s, err
	}
	if err = s.clocks.store(); err != nil {
		return s, err
	}
	socket := filepath.Join(dir, "s")
	const token = "freeze"
	if s.hearth, err = client.New(client.Config{Socket: socket, Token: token, Timeout: 10 * time.Second}); err != nil {
		return s, err
	}
	settings := []string{
		"HEARTH_ADDR=127.0.0.1:0", "HEARTH_SOCKET=" + socket, "HEARTH_TOKEN=" + token, "HEARTH_TLS_CA=" + ca,
		"HEARTH_WEAVIATE_URL=https://" + s.rest.wire.Addr(), "HEARTH_WEAVIATE_GRPC_URL=https://" + s.grpc.wire.Addr(),
		"HEARTH_WEAVIATE_TIMEOUT=" + timeout.String(),
		"HEARTH_ODOO_URL=https://" + s.odoo.wire.Addr(), "HEARTH_ODOO_TIMEOUT=" + timeout.String(), "HEARTH_ODOO_DB=demo", "HEARTH_ODOO_KEY=" + odooKey,
		"HEARTH_CONN_MAX_IDLE=" + s.idleLimit.String(),
		"HEARTH_TTL_ODOO_READ=" + freshOdoo.String(), "HEARTH_TTL_ODOO_MODELS=20ms/1h/1h", // all but always stale, and refreshed meanwhile
		"HEARTH_TEST_CLOCK=" + s.clocks.file.Name(), "HEARTH_TEST_WITHOUT=" + without,
	}
	if !s.narrow {
		settings = append(settings, "HEARTH_ODOO_CONNECTIONS=5")
	}
	schema := exec.CommandContext(ctx, binary, "schema")
	schema.Env = settings
	if out, err := schema.CombinedOutput(); err != nil {
		return s, fmt.Errorf("hearth schema: %w\n%s", err, out)
	}
	for chat := range chats {
		if err := s.foreignMute(chat); err != nil { // the chat's object, which every later mute changes
			return s, err
		}
	}
	s.host, err = lambdatest.New(lambdatest.Config{Timeout: time.Minute, Answer: s.handle}) //nolint:contextcheck // its life ends with close
	if err != nil {
		return s, err
	}
	if s.extension, err = s.host.StartExtension(ctx, binary, settings...); err != nil {
		return s, err
	}
	return s, s.host.WaitReady(ctx)
}

func (s *sandbox) String() string {
	return fmt.Sprintf("in sandbox %d after freeze %d (idle limit %v, %v)", s.number, s.frozen, s.idleLimit, s.round)
}

// close ends the sandbox as Lambda does.
func (s *sandbox) close(ctx context.Context) (err error) {
	if s.hearth != nil {
		s.hearth.Close()
	}
	if s.extension != nil {
		if err = s.extension.Stop(context.WithoutCancel(ctx)); ctx.Err() != nil {
			err = nil // it was killed with us
		}
	}
	if s.host != nil {
		s.host.Close()
	}
	if s.clocks.file != nil {
		s.clocks.file.Close()
	}
	return errors.Join(err, s.rest.close(), s.grpc.close(), s.odoo.close())
}

// run freezes the sandbox as planned, with an invocation before and after each freeze.
func (s *sandbox) run(ctx context.Context, rounds []round) error {
	if _, err := s.host.Invoke(ctx, nil); err != nil {
		return s.crashed(err)
	}
	for _, r := range rounds {
		if err := s.freeze(ctx, r); err != nil {
			return fmt.Errorf("%v: %w", s, err)
		}
		s.tally.froze()
		s.frozen, s.round = s.frozen+1, r
		if _, err := s.host.Invoke(ctx, nil); err != nil {
			return s.crashed(err)
		}
	}
	for _, fault := range s.oracle.once(contacts, s.count()) {
		s.tally.failed(s, "at the end", fault)
	}
	return nil
}

func (s *sandbox) crashed(err error) error {
	return fmt.Errorf("%v: %w\n%s", s, err, s.extension.Log())
}

// freeze lets the round's fault and the other sandbox's writes happen while nothing in this one can notice.
func (s *sandbox) freeze(ctx context.Context, r round) error {
	if err := s.host.Freeze(); err != nil {
		return err
	}
	began := time.Now()
	if err := pause(ctx, r.frozen/4); err != nil {
		return err
	}
	var hit errgroup.Group
	if r.weaviate {
		hit.Go(func() error { return r.strike(s.rest.wire) }) //nolint:contextcheck // the proxy's listener lives as long as the proxy
		hit.Go(func() error { return r.strike(s.grpc.wire) }) //nolint:contextcheck // likewise
	}
	if r.odoo {
		hit.Go(func() error { return r.strike(s.odoo.wire) }) //nolint:contextcheck // likewise
	}
	if err := errors.Join(s.foreign(r), hit.Wait(), pause(ctx, time.Until(began.Add(r.frozen)))); err != nil {
		return err
	}
	if err := s.clocks.shift(r, time.Since(began)); err != nil {
		return err
	}
	return s.host.Thaw()
}

func (r round) strike(wire *testnet.Proxy) error {
	switch r.fault {
	case fin:
		wire.Cut(testnet.FIN)
	case rst:
		wire.Cut(testnet.RST)
	case blackHole:
		wire.BlackHole()
	case forget:
		wire.Forget()
	case restart:
		return wire.Restart(r.frozen / 2)
	case move:
		return wire.Move()
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// clocks is the file that says how far the sandbox's clocks are off.
type clocks struct {
	file            *os.File
	wall, monotonic time.Duration
}

func (c *clocks) store() error {
	b := binary.LittleEndian.AppendUint64(nil, uint64(c.wall))
	_, err := c.file.WriteAt(binary.LittleEndian.AppendUint64(b, uint64(c.monotonic)), 0)
	return err
}

func (c *clocks) shift(r round, frozen time.Duration) error {
	switch r.shift {
	case still:
		c.monotonic -= frozen
	case back:
		c.wall -= r.by
	case forward:
		c.wall += r.by
	}
	return c.store()
}

// relabeled is Odoo, with the field's label of the time when it is asked.
func (s *sandbox) relabeled() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/fields_get") {
			s.contacts.ServeHTTP(w, r)
			return
		}
		label := fmt.Sprintf(`"string":"%d"`, s.label.Load())
		answer := httptest.NewRecorder()
		s.contacts.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.Code)
		_, _ = io.WriteString(w, strings.ReplaceAll(answer.Body.String(), `"string":"Phone"`, label))
	})
}

// foreign are the writes of another sandbox, straight to the upstreams.
func (s *sandbox) foreign(r round) error {
	s.label.Add(1)
	var errs []error
	if r.message {
		for _, role := range roles() {
			value, place := s.value()
			acknowledged := s.oracle.begin(log(r.chat, role), write{value: value, place: place, foreign: true})
			errs = append(errs, s.store(object{"Message", uuid.NewString(), map[string]any{
				"chat_id": chat(r.chat), "role": role, "content": value, "created_at": place.Format(time.RFC3339Nano),
			}}))
			acknowledged()
		}
	}
	if r.mute {
		errs = append(errs, s.foreignMute(r.chat))
	}
	if r.contact {
		value, _ := s.value()
		acknowledged := s.oracle.begin(contacts, write{value: value, foreign: true})
		_, err := s.ask(s.contacts, "/json/2/res.partner/create", map[string]any{"vals_list": []any{map[string]any{"name": value, "phone": contacts}}})
		errs = append(errs, err)
		acknowledged()
	}
	return errors.Join(errs...)
}

// object is one as Weaviate takes it.
type object struct {
	Class      string         `json:"class"`
	ID         string         `json:"id"`
	Properties map[string]any `json:"properties"`
}

func (s *sandbox) foreignMute(n int) error {
	value, until := s.mutedUntil()
	acknowledged := s.oracle.begin(log(n, "mute"), write{value: value, foreign: true})
	defer acknowledged()
	return s.store(object{"ChatStatus", fmt.Sprintf("00000000-0000-4000-8000-%012d", n), map[string]any{
		"chat_id": chat(n), "muted": true, "muted_until": until.Format(time.RFC3339Nano),
	}})
}

func (s *sandbox) store(o object) error {
	answer, err := s.ask(s.messages, "/v1/batch/objects", map[string]any{"objects": []object{o}})
	if strings.Contains(string(answer), `"errors":{`) {
		return fmt.Errorf("the stand-in: %s", answer)
	}
	return err
}

// count says how often each contact was created in truth.
func (s *sandbox) count() map[string]int {
	answer, err := s.ask(s.contacts, "/json/2/res.partner/search_read", map[string]any{"fields": []string{"name"}})
	var list []struct{ Name string }
	if err = errors.Join(err, json.Unmarshal(answer, &list)); err != nil {
		panic(err) // it is a list of names
	}
	times := map[string]int{}
	for _, c := range list {
		times[c.Name]++
	}
	return times
}

// ask puts a request to a stand-in without the way over the wire.
func (s *sandbox) ask(h http.Handler, path string, body any) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(b))) //nolint:noctx // goes nowhere
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "bearer "+odooKey)
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, req)
	text, err := io.ReadAll(answer.Body)
	if answer.Code != http.StatusOK {
		err = fmt.Errorf("the stand-in: %d %s", answer.Code, text)
	}
	return text, err
}
