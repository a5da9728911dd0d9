package chat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hearth/client/wire"
)

// BenchmarkRender makes the reply of a history of so many messages, half of them of each role.
func BenchmarkRender(b *testing.B) {
	s := &Service{cfg: Config{}.withDefaults()}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for content, text := range map[string]string{
		"short": "some words of a message",
		"long":  strings.Repeat("some wörds of a message, and more\n", 20),
	} {
		for _, n := range []int{10, 200, 1000} {
			var roles [2][]wire.Message
			for i := range n {
				role := []wire.Role{wire.RoleUser, wire.RoleAssistant}[i%2]
				roles[i%2] = append(roles[i%2], wire.Message{
					ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012d", i), Role: role, Content: text, CreatedAt: at.Add(time.Duration(i) * time.Minute),
				})
			}
			b.Run(fmt.Sprintf("%s/%d", content, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := encodeHistory(s.renderHistory("a", roles[0], roles[1], 5)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
