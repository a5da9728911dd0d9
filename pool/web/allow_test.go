package web

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestTheAllowListNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{ // want begins with - where the element is refused
		"api.example.com":                 "https://api.example.com",
		"https://API.Example.com":         "https://api.example.com",
		"api.example.com:8443":            "https://api.example.com:8443",
		"api.example.com:443":             "https://api.example.com",
		"http://api.example.com:80":       "http://api.example.com",
		"10.1.2.3:8080":                   "https://10.1.2.3:8080",
		"http://10.1.2.3:8080":            "http://10.1.2.3:8080",
		"[FD00:0::1]:8443":                "https://[fd00::1]:8443",
		"http://[::1]:1":                  "http://[::1]:1",
		"a.test, b.test ,a.test":          "https://a.test https://b.test",
		"a.test,":                         `-"" names no host`,
		"http://":                         "-names no host",
		"*.example.com":                   "-has a wildcard",
		"ftp://a.test:21":                 "-must begin with http:// or https://",
		"a.test/path":                     "-must be a host and a port alone",
		"a.test?x":                        "-must be a host and a port alone",
		"u:p@a.test":                      "-must be a host and a port alone",
		"10.1.2.3":                        "-is an address, which needs its port",
		"[fd00::1]":                       "-is an address, which needs its port",
		"http://a.test":                   "-needs a port",
		"a.test:0":                        "-has a port that is no number from 1 to 65535",
		"a.test:070":                      "-has a port that is no number from 1 to 65535",
		"a.test:http":                     "-is no host with a port",
		"fd00::1":                         "-is no host with a port",
		"0.0.0.0:80":                      "-is no address of one host",
		"[ff02::1]:80":                    "-is no address of one host",
		"[::ffff:10.1.2.3]:80":            "-must be an IPv6 address without",
		"127.1:80":                        "-ends in a number, and is no address",
		"0x7f000001:80":                   "-ends in a number, and is no address",
		"bücher.example":                  "-an international name is written as xn--",
		"a.test.":                         "-has nothing before, behind or between dots",
		"ok.test,bad one.test":            `-"bad one.test"`,
		strings.Repeat("x", 64) + ".test": "-has more than 63 bytes between dots",
	} {
		var list Allow
		err := list.UnmarshalText([]byte(text))
		if fault, refused := strings.CutPrefix(want, "-"); refused {
			if err == nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("%q: %v, want %q", text, err, fault)
			}
			continue
		}
		var got []string
		for _, o := range list {
			got = append(got, o.URL())
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	var list Allow
	if err := list.UnmarshalText([]byte("ok.test,https://user:hunter2@a.test")); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), `"a.test" must be`) {
		t.Errorf("a password in the list: %v", err)
	}
	many := slices.Repeat([]string{"a.test:"}, maxAllowed+1)
	for i := range many {
		many[i] += string(rune('1'+i%9)) + strings.Repeat("0", i/9)
	}
	if err := list.UnmarshalText([]byte(strings.Join(many, ","))); err == nil || !strings.Contains(err.Error(), "at most 32") {
		t.Errorf("%d hosts: %v", len(many), err)
	}
}

func TestAddressesAreCheckedAfterUnmapping(t *testing.T) {
	var list Allow
	if err := list.UnmarshalText([]byte("http://10.1.2.3:8080,[fd00::1]:8443,http://169.254.169.254:80")); err != nil {
		t.Fatal(err)
	}
	a := newAddresses(list)
	for address, want := range map[string]bool{
		"93.184.216.34:443": true, "[2606:2800:220:1::1]:443": true, "[64:ff9b::5db8:d822]:443": true, "[::ffff:93.184.216.34]:443": true,
		"10.1.2.3:8080": true, "[::ffff:10.1.2.3]:8080": true, "[64:ff9b::a01:203]:8080": true, "[fd00::1]:8443": true, "169.254.169.254:80": true,
		"10.1.2.3:8081": false, "10.1.2.4:8080": false, "[fd00::1]:443": false, "[fd00::2]:8443": false, "169.254.169.254:443": false,
		"[64:ff9b::7f00:1]:80": false, "[64:ff9b:1::5db8:d822]:80": false, "[2002:5db8:d822::]:80": false, "[2001:0:5db8:d822::]:80": false,
		"[::93.184.216.34]:80": false, "[fe80::1%lo]:80": false, "[::1]:80": false, "127.0.0.1:80": false, "0.0.0.0:80": false, "nonsense": false,
	} {
		if err := a.control("tcp", address, nil); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	if got := unmapped(netip.MustParseAddr("64:ff9b::7f00:1")); got.String() != "127.0.0.1" {
		t.Errorf("NAT64 is %s", got)
	}
}
