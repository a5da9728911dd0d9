package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tampered lets a tamper answer in place of the named upstreams, or of all if none is named.
func tampered(t tamper, of ...upstream) strike {
	return func(_ context.Context, g *rig) (func() error, error) {
		some := tamper(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if len(of) > 0 && !slices.Contains(of, upstreamOf(r)) {
				next.ServeHTTP(w, r)
				return
			}
			t(w, r, next)
		})
		g.tamper.Store(&some)
		return func() error { g.tamper.Store(nil); return nil }, nil
	}
}

// never does not answer.
func never(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.Copy(io.Discard, r.Body) // net/http notices that the client has left only after the body was read
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// abort ends the connection, or the stream, without an answer. The request is not carried out.
func abort(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// closing closes the connection after the answer. In HTTP/2 that is a GOAWAY.
func closing(w http.ResponseWriter, r *http.Request, next http.Handler) {
	w.Header().Set("Connection", "close")
	next.ServeHTTP(w, r)
}

// carriedOut carries the request out, and returns the answer.
func carriedOut(r *http.Request, next http.Handler) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	return rec
}

// begin sends the header of an answer without a length.
func begin(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), rec.Header())
	maps.DeleteFunc(w.Header(), func(name string, _ []string) bool {
		return strings.HasPrefix(name, http.TrailerPrefix) || name == "Content-Length"
	})
	w.WriteHeader(rec.Code)
}

// end sends the trailers of an answer.
func end(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	for name, values := range rec.Header() {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			w.Header()[name] = values
		}
	}
}

// drip sends an answer byte by byte.
func drip(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := carriedOut(r, next)
	begin(w, rec)
	for _, b := range rec.Body.Bytes() {
		_, err := w.Write([]byte{b})
		_ = http.NewResponseController(w).Flush()
		if err != nil || pause(r.Context(), 2*time.Millisecond) != nil {
			panic(http.ErrAbortHandler)
		}
	}
	end(w, rec)
}

// truncated sends half of an answer and hangs up.
func truncated(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := carriedOut(r, next)
	begin(w, rec)
	_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// endless sends an answer that does not end.
func endless(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := carriedOut(r, next)
	begin(w, rec)
	prefix := []byte(`["`)
	if upstreamOf(r) == weaviateGRPC {
		prefix = binary.BigEndian.AppendUint32([]byte{0}, 1<<20) // a size below the limit, because Hearth asks again for smaller pages if the size is too large
	}
	_, err := w.Write(prefix)
	for more := bytes.Repeat([]byte("x"), 64<<10); err == nil && r.Context().Err() == nil; {
		_, err = w.Write(more)
	}
	panic(http.ErrAbortHandler)
}

// changed sends an answer with a changed body.
func changed(change func(body []byte, grpc bool) []byte) tamper {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := carriedOut(r, next)
		begin(w, rec)
		_, _ = w.Write(change(rec.Body.Bytes(), upstreamOf(r) == weaviateGRPC))
		end(w, rec)
	}
}

// corrupt breaks the structure of an answer. If only letters of a text were changed, nobody could notice it.
func corrupt(w http.ResponseWriter, r *http.Request, next http.Handler) {
	changed(func(body []byte, grpc bool) []byte {
		if grpc && len(body) > grpcPrefix {
			body[grpcPrefix] = 0x07 // a wire type that protobuf does not have
			return body
		}
		return append([]byte("\xff\x00}"), body...)
	})(w, r, next)
}

const grpcPrefix = 5 // bytes before a message: compressed or not, and its length

// empty sends nothing under a 200.
func empty(w http.ResponseWriter, r *http.Request, next http.Handler) {
	changed(func([]byte, bool) []byte { return nil })(w, r, next)
}

// longer sends more than it has announced. The rest is on the connection when the next request comes.
func longer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	surplus(`HTTP/1.1 200 OK`, -3)(w, r, next)
}

// shorter announces more than comes.
func shorter(w http.ResponseWriter, r *http.Request, next http.Handler) {
	surplus("", 10)(w, r, next)
}

// twice sends an answer to no request after the right answer.
func twice(w http.ResponseWriter, r *http.Request, next http.Handler) {
	body := `{"muted":true,"result":"another's"}`
	surplus("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body, 0)(w, r, next)
}

// surplus sends an answer that announces its length plus more bytes, and after the answer sends after. With gRPC the length is that of the
// message.
func surplus(after string, more int) tamper {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if upstreamOf(r) == weaviateGRPC {
			changed(func(body []byte, _ bool) []byte {
				if len(body) < grpcPrefix {
					return body
				}
				length := binary.BigEndian.Uint32(body[1:grpcPrefix])
				binary.BigEndian.PutUint32(body[1:grpcPrefix], uint32(max(0, int64(length)+int64(more))))
				return append(body, after...)
			})(w, r, next)
			return
		}
		rec := carriedOut(r, next)
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer conn.Close()
		fmt.Fprintf(buf, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s%s",
			rec.Code, http.StatusText(rec.Code), rec.Header().Get("Content-Type"), rec.Body.Len()+more, rec.Body, after)
		if buf.Flush() == nil {
			_ = pause(r.Context(), 300*time.Millisecond) // the client may use the connection again meanwhile
		}
	}
}

// zipped compresses an answer although the client did not ask for that.
func zipped(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := carriedOut(r, next)
	grpc := upstreamOf(r) == weaviateGRPC
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if grpc {
		rec.Header().Set("Grpc-Encoding", "gzip")
		_, _ = z.Write(rec.Body.Bytes()[min(grpcPrefix, rec.Body.Len()):])
	} else {
		rec.Header().Set("Content-Encoding", "gzip")
		_, _ = z.Write(rec.Body.Bytes())
	}
	_ = z.Close() // into memory
	begin(w, rec)
	if grpc {
		_, _ = w.Write(binary.BigEndian.AppendUint32([]byte{1}, uint32(out.Len())))
	}
	_, _ = w.Write(out.Bytes())
	end(w, rec)
}

// html carries the request out, and answers with a page.
func html(status int) tamper {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		carriedOut(r, next)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<!doctype html><title>Gateway</title><h1>Please log in</h1>")
	}
}

func redirect(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	http.Redirect(w, r, "https://login.example/", http.StatusFound)
}

// refusing answers with a status. The request is not carried out.
func refusing(status int, retryAfter string) tamper {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		if upstreamOf(r) == weaviateGRPC { // a proxy before the server answers so
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error":[{"message":"too much"}],"name":"werkzeug.exceptions.TooManyRequests","message":"too much"}`)
	}
}

// everyFourth lets t answer every fourth request to each upstream. Fewer than half of the calls fail, so no breaker opens.
func everyFourth(t tamper) strike {
	var mu sync.Mutex
	seen := map[string]int{}
	return tampered(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		mu.Lock()
		to := upstreamOf(r).name()
		if !isPing(r) {
			seen[to]++
		}
		fourth := !isPing(r) && seen[to]%4 == 0
		mu.Unlock()
		if fourth {
			t(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// cutCreates carries out each create of a contact, and cuts the answer.
func cutCreates(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if strings.HasSuffix(r.URL.Path, "/create") {
		truncated(w, r, next)
	}
	next.ServeHTTP(w, r)
}

// wrongKey answers as each upstream does if the key is wrong.
func wrongKey(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	switch upstreamOf(r) {
	case weaviateGRPC:
		grpcRefusal(w, "2", "extract auth: unauthorized: invalid api key")
	case weaviateREST:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"code":401,"message":"unauthorized: invalid api key"}`)
	case website:
		http.Error(w, "who are you?", http.StatusUnauthorized)
	case odoo:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"name":"werkzeug.exceptions.Unauthorized","message":"Invalid apikey","arguments":["Invalid apikey",401],"context":{},"debug":"Traceback (most recent call last)"}`)
	}
}

func grpcRefusal(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Grpc-Status", code)
	w.Header().Set("Grpc-Message", message)
}

// grpcCodes returns a fault for each code of gRPC, and for a code that gRPC does not have.
func grpcCodes() (list []fault) {
	for code := 1; code <= 17; code++ {
		list = append(list, fault{
			name: fmt.Sprintf("gRPC code %d", code), short: code == 8 || code == 14,
			strike: tampered(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				grpcRefusal(w, strconv.Itoa(code), "chaos")
			}, weaviateGRPC),
		})
	}
	return list
}

// withoutTrailers sends a message and no status after it.
func withoutTrailers(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := carriedOut(r, next)
	begin(w, rec)
	_, _ = w.Write(rec.Body.Bytes())
}

// slowStart delays each answer until most has passed since the fault began.
func slowStart(most time.Duration) strike {
	return func(ctx context.Context, g *rig) (func() error, error) {
		began := time.Now()
		return tampered(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if pause(r.Context(), most-time.Since(began)) != nil {
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})(ctx, g)
	}
}

// rpcError answers as Odoo's JSON-RPC does after an exception. The request is not carried out.
func rpcError(name, message string) tamper {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		var req struct{ ID any }
		_ = json.NewDecoder(r.Body).Decode(&req) // the answer then has no id
		w.Header().Set("Content-Type", cmp.Or(r.Header.Get("Content-Type"), "application/json"))
		_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": req.ID, "error": map[string]any{
			"code": 200, "message": "Odoo Server Error",
			"data": map[string]any{"name": name, "message": message, "arguments": []string{message}, "debug": "Traceback (most recent call last):\n"},
		}})
	}
}
