package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAServersTimeIsFromTheRequestsLastByteToTheAnswersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serverTimes{last: map[string]time.Duration{}}
		h := s.of(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			time.Sleep(time.Second)
			_, _ = w.Write(body)
			time.Sleep(time.Minute)
		}))
		slow, body := io.Pipe()
		go func() {
			time.Sleep(time.Hour)
			_, _ = io.WriteString(body, "what is in "+chatID(7)+"?")
			body.Close()
		}()
		for _, body := range []io.Reader{slow, strings.NewReader("no chat"), strings.NewReader(chatPrefix)} {
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", body))
			if answer.Body.Len() == 0 {
				t.Error("the request did not reach the handler")
			}
		}
		if got := s.ofChat(chatID(7)); got != time.Second || len(s.last) != 1 {
			t.Errorf("it took %v; of all chats: %v", got, s.last)
		}
	})
}
