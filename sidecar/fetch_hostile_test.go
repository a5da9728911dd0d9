package sidecar

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/testnet"
	"hearth/pool"
	"hearth/pool/web"
	"hearth/sidecar/chat"
	"hearth/sidecar/fetch"
)

// forbiddenListeners count the connections to loopback addresses that no list names, all on one port.
type forbiddenListeners struct {
	port     int
	accepted atomic.Int64
}

func listenForbidden(t *testing.T) *forbiddenListeners {
	t.Helper()
	f := &forbiddenListeners{}
	var config net.ListenConfig
	var open []net.Listener
	for try := 0; len(open) != 3; try++ {
		for _, l := range open {
			_ = l.Close()
		}
		open = nil
		first, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, first)
		f.port = first.Addr().(*net.TCPAddr).Port
		for _, host := range []string{"127.0.0.53", "::1"} {
			if l, err := config.Listen(t.Context(), "tcp", net.JoinHostPort(host, fmt.Sprint(f.port))); err == nil {
				open = append(open, l)
			} else if try == 20 {
				t.Fatal(err)
			}
		}
	}
	var serving sync.WaitGroup
	for _, l := range open {
		serving.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				f.accepted.Add(1)
				_ = c.Close()
			}
		})
	}
	t.Cleanup(func() {
		for _, l := range open {
			_ = l.Close()
		}
		serving.Wait()
	})
	return f
}

// fetchAPI is an API that may fetch from what the list names.
func fetchAPI(t *testing.T, allow string, change func(*pool.Config)) *api {
	t.Helper()
	var list web.Allow
	if err := list.UnmarshalText([]byte(allow)); err != nil {
		t.Fatal(err)
	}
	cfg := pool.Config{Timeout: time.Minute, Answers: pool.NewAnswers(1<<20, 4<<20)}
	if change != nil {
		change(&cfg)
	}
	client := web.New(web.Config{Allow: list, Pool: cfg, UserAgent: "hearth/test"})
	t.Cleanup(client.Close)
	jobs := fetch.NewJobs(4<<20, cfg.Pulse)
	t.Cleanup(jobs.Close)
	return newAPI(t, newUpstreams(), func(c *Config, _ *chat.Config) {
		c.Fetch, c.Jobs = fetch.New(client, c.Cache), jobs
		if cfg.Pulse != nil {
			c.Pulse = cfg.Pulse
		}
	})
}

// fetchFrom is the body of a fetch of a URL.
func fetchFrom(t *testing.T, address string) string {
	t.Helper()
	b, err := json.Marshal(map[string]string{"url": address})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whatever a caller, a name or another server says, no connection goes to an address that is not allowed.
func TestHostileURLsNamesAndRedirectsReachNothing(t *testing.T) {
	forbidden := listenForbidden(t)
	good, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	}), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = good.Close() })
	port := fmt.Sprint(forbidden.port)

	// Each name is in the list, and resolves to one of these. A listener waits wherever the address is of this machine.
	addresses := []string{
		"127.0.0.1", "127.0.0.53", "::1", "0.0.0.0", "::", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254",
		"169.254.170.2", "fd00:ec2::254", "fd12::1", "fe80::1", "fec0::1", "224.0.0.1", "ff02::1", "240.0.0.1", "255.255.255.255", "192.0.0.1",
		"198.18.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1",
		"2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::1", "2001:db8::1", "100::1",
	}
	names := map[string]netip.Addr{}
	allow := []string{"http://" + good.Addr, "allowed.test", "http://rebinding.test:" + port}
	var hostile []string
	for i, a := range addresses {
		name := fmt.Sprintf("n%d.test", i)
		names[name] = netip.MustParseAddr(a)
		if i < 28 {
			allow = append(allow, "http://"+name+":"+port)
			hostile = append(hostile, "http://"+name+":"+port+"/")
		}
	}
	var lookups atomic.Int64
	resolver := testnet.Resolver(func(name string) []netip.Addr {
		if name == "rebinding.test" { // another address each time
			return []netip.Addr{netip.MustParseAddr([]string{"127.0.0.1", "10.0.0.1", "169.254.169.254"}[lookups.Add(1)%3])}
		}
		if a, ok := names[name]; ok {
			return []netip.Addr{a}
		}
		return nil
	})
	h := fetchAPI(t, strings.Join(allow, ","), func(c *pool.Config) { c.Resolver = resolver })

	rebinding := "http://rebinding.test:" + port + "/"
	hostile = append(hostile, rebinding, rebinding, rebinding)
	loopback := "127.0.0.1:" + port
	hostile = append(hostile,
		"http://"+loopback+"/", "https://"+loopback+"/", "http://[::1]:"+port+"/", "http://localhost:"+port+"/",
		"http://2130706433:"+port+"/", "http://0x7f000001:"+port+"/", "http://0x7f.0.0.1:"+port+"/", "http://0177.0.0.1:"+port+"/",
		"http://017700000001:"+port+"/", "http://127.1:"+port+"/", "http://127.0.1:"+port+"/", "http://127.0.0.1.:"+port+"/", "http://0:"+port+"/",
		"http://[::ffff:127.0.0.1]:"+port+"/", "http://[::ffff:7f00:1]:"+port+"/", "http://[::127.0.0.1]:"+port+"/", "http://[64:ff9b::7f00:1]:"+port+"/",
		"http://[fe80::1%25lo]:"+port+"/", "http://[::1%25lo]:"+port+"/", "http://127.0.0.1%00.allowed.test:"+port+"/", "http://%31%32%37.0.0.1:"+port+"/",
		"http://①②⑦.⓪.⓪.①:"+port+"/", "http://127。0。0。1:"+port+"/", "https://allowed.test.:"+port+"/", "https://ALLOWED.TEST:"+port+"/",
		"https://allowed.test@"+loopback+"/", "http://"+good.Addr+"@"+loopback+"/", "http://"+loopback+"#@"+good.Addr+"/", "http://"+good.Addr+"/#@"+loopback,
		"http://user:secret@"+good.Addr+"/", "http://"+loopback+`\@`+good.Addr+"/", "http://"+good.Addr+`\.`+loopback+"/", "http:\\\\"+loopback, "http:"+loopback, "//"+loopback+"/",
		"http:///"+loopback, "http://"+loopback+"\t/", "http://127.0.0.1\n:"+port+"/", " http://"+loopback, "http://127.0.0.1 :"+port, "HTTP://"+loopback+"/",
		"file:///etc/passwd", "ftp://"+loopback+"/", "gopher://"+loopback+"/_x", "dict://"+loopback+"/x", "unix:///tmp/hearth.sock", "data:text/plain,x",
		"javascript:alert(1)", "ws://"+loopback+"/", "https://allowed.test:0/", "https://allowed.test:99999/", "https://allowed.test:443443/", "https://allowed.test:0443/",
		"https://allowed.test:/", "http://allowed.test/", "https://xn--allowed-.test/", "https://аllowed.test/", "https://sub.allowed.test/", "https://allowed.test.evil.test/",
		"https://evil.test?allowed.test", "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/latest/", "http://169.254.170.2/v2/credentials",
		"http://metadata.google.internal/", "http://instance-data/", "", "not a url", "/relative", "http://", "https://[::1", "https://a:b:c/",
	)
	for _, to := range []string{
		"http://" + loopback + "/", "//" + loopback + "/", "http://169.254.169.254/", "http://n0.test:" + port + "/", "http://n4.test:" + port + "/", "https://allowed.test:8443/",
		"http://user:secret@" + good.Addr + "/", "file:///etc/passwd", `\\` + loopback, `/\` + loopback, "http://2130706433:" + port + "/", "http://[::ffff:127.0.0.1]:" + port + "/",
		"http://%zz", "http://" + loopback + "/ x", "HTTP://LOCALHOST:" + port, "javascript:alert(1)", "http://" + good.Addr + ":80@" + loopback,
	} {
		hostile = append(hostile, "http://"+good.Addr+"/?to="+url.QueryEscape(to))
	}

	count := map[int]int{}
	for _, address := range hostile {
		got := h.do("POST", wire.PathFetch, fetchFrom(t, address))
		p := got.problem(t)
		ruled := p.Status == http.StatusForbidden && p.Kind() == wire.KindNotAllowed || p.Status == http.StatusBadRequest && p.Field == "url"
		if !ruled || p.Detail == "" || p.Retryable || strings.Contains(got.body, "secret") {
			t.Errorf("%q: %d %s", address, got.status, got.body)
		}
		count[got.status]++
		t.Logf("%d %-100.100q %s", got.status, address, p.Detail)
	}
	n := forbidden.accepted.Load()
	t.Logf("urls=%d status403=%d status400=%d connections_to_forbidden_addresses=%d", len(hostile), count[http.StatusForbidden], count[http.StatusBadRequest], n)
	if n != 0 {
		t.Errorf("%d connections to forbidden addresses", n)
	}
	if got := h.want(200, "POST", wire.PathFetch, fetchFrom(t, "http://"+good.Addr+"/")); decoded[wire.Fetched](t, got.body).Status != 200 {
		t.Errorf("what is allowed is not fetched: %s", got.body)
	}
}

// A name whose address changes is checked each time that it is connected to.
func TestANameThatMovesToAForbiddenAddressIsNotFollowed(t *testing.T) {
	forbidden := listenForbidden(t)
	good, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = good.Close() })
	_, port, err := net.SplitHostPort(good.Addr)
	if err != nil {
		t.Fatal(err)
	}
	var address atomic.Value
	address.Store("127.0.0.1")
	a := fetchAPI(t, "http://"+good.Addr+",http://moving.test:"+port, func(c *pool.Config) {
		c.Resolver = testnet.Resolver(func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(address.Load().(string))} })
	})
	body := fetchFrom(t, "http://moving.test:"+port+"/")
	a.want(http.StatusOK, "POST", wire.PathFetch, body)
	address.Store("127.0.0.53")
	if p := a.do("POST", wire.PathFetch, body).problem(t); p.Kind() != wire.KindNotAllowed || !strings.Contains(p.Detail, "a loopback address") {
		t.Errorf("%+v", p)
	}
	if n := forbidden.accepted.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}
