package settings

import (
	"reflect"
	"strings"
	"testing"
)

// FuzzRead reads any environment: every fault names a variable and shows no secret, and what is read twice is the same.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"HEARTH_WEAVIATE_URL=http://w:8080\nHEARTH_ODOO_URL=https://o\nHEARTH_ODOO_DB=d\nHEARTH_ODOO_KEY=s3cret-s3cret",
		"HEARTH_ADDR=0.0.0.0:1\nHEARTH_CACHE_BYTES=-1MiB\nHEARTH_TTL_MUTE=1s/2s", "HEARTH_MESSAGE_ROLES=user|user,\nHEARTH_MESSAGE_FIELDS=a,b",
		"HEARTH_WEAVIATE_HEADERS=a=%zz,b\nHEARTH_TOKEN=\x00", "=\n==\nHEARTH_=1\nAWS_LAMBDA_FUNCTION_MEMORY_SIZE=99999999999999999999",
		"HEARTH_WEAVIATE_URL=http://user:s3cret-s3cret@w", "HEARTH_FETCH_ALLOW=http://,:0,[::1]:80,*.a", "AWS_LAMBDA_RUNTIME_API=x\nHEARTH_SOCKET=/a\nHEARTH_STRICT=maybe",
	} {
		f.Add(s)
	}
	const secret = "s3cret-s3cret"
	f.Fuzz(func(t *testing.T, text string) {
		environ := strings.Split(text, "\n")
		environ = append(environ, "HEARTH_TLS_CA=") // no file of this machine is read
		s, err := Read(environ)
		again, errAgain := Read(environ)
		if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
			t.Fatalf("%v, and then %v", err, errAgain)
		}
		if err == nil && !reflect.DeepEqual(s.Unknown, again.Unknown) {
			t.Errorf("%v, and then %v", s.Unknown, again.Unknown)
		}
		if err == nil {
			if s.CacheSize() <= 0 || s.MemoryLimit() <= 0 || s.WeaviateTimeout <= 0 || s.OdooTimeout <= 0 || s.Workers <= 0 {
				t.Errorf("a bound is not positive: %+v", s)
			}
			return
		}
		if strings.Contains(text, "KEY="+secret) || strings.Contains(text, ":"+secret+"@") {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows a secret: %v", err)
			}
		}
		for line := range strings.Lines(err.Error()) {
			if !strings.Contains(line, "HEARTH_") && !strings.Contains(line, "AWS_") {
				t.Errorf("a fault names no variable: %q", line)
			}
		}
		s.DropFaultyUpstreams(err)
	})
}
