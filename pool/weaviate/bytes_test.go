package weaviate

import (
	"encoding/json"
	"strings"
	"testing"

	"hearth/client/wire"
)

func TestAMessageCountsAsManyBytesAsItHasInJSON(t *testing.T) {
	for _, content := range []string{"", "ferry", strings.Repeat("\x01", 1000), strings.Repeat(`"\`, 1000), "a\nb\tc", strings.Repeat("é", 1000)} {
		encoded, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if got, least := bytesOf(wire.Message{Content: content}), int64(len(encoded)-2); got < least {
			t.Errorf("%.10q: counts %d bytes, has %d in JSON", content, got, least)
		}
	}
}
