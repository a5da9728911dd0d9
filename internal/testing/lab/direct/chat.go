package direct

import (
	"fmt"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/lab"
)

// StoreChat writes 20 turns into the chat of this number, and mutes every third chat.
func StoreChat(u *lab.Upstreams, n int) error {
	const turns = 20
	chat, begin := lab.ChatID(n), time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	id := func(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%06d%06d", n, i) }
	objects := []lab.Object{{Class: "ChatStatus", ID: id(0), Properties: map[string]any{"chat_id": chat, "muted": n%3 == 0}}}
	for i := range turns {
		said := map[wire.Role]string{
			wire.RoleUser:      fmt.Sprintf("Where is parcel number %d of our order? It should have been here on day %d.", n+i, i),
			wire.RoleAssistant: fmt.Sprintf("Parcel number %d is in %s, and comes tomorrow.", n+i, []string{"Ghent", "Lyon", "Porto", "Turin"}[i%4]),
		}
		for j, role := range []wire.Role{wire.RoleUser, wire.RoleAssistant} {
			objects = append(objects, lab.Object{Class: "Message", ID: id(1 + 2*i + j), Properties: map[string]any{
				"chat_id": chat, "role": role, "content": said[role],
				"created_at": begin.Add(time.Duration(2*i+j) * time.Second).Format(time.RFC3339),
			}})
		}
	}
	return u.Store(objects...)
}
