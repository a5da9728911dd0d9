package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"hearth/client"
)

// exampleConfig starts a double of Hearth, so that the example runs anywhere. A handler uses client.FromEnv(os.Getenv).
func exampleConfig() (cfg client.Config, end func()) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", client.ServerName)
		fmt.Fprint(w, `{"chat_id":"42","mute_status":{"muted":false},"relevant_messages":[],
			"history":{"msg_history":[{"role":"user","content":"Hello"}]},
			"errors":{"odoo_models":{"title":"No answer in time","retryable":true}}}`)
	}))
	return client.Config{Addr: s.Listener.Addr().String()}, s.Close
}

func Example() {
	cfg, end := exampleConfig()
	defer end()
	hearth, err := client.New(cfg) // once, outside the handler
	if err != nil {
		panic(err)
	}
	defer hearth.Close()

	got, err := hearth.Preprocess(context.Background(), client.PreprocessRequest{
		ChatID: "42", Text: "Where is my parcel?", RouteName: "odoo_erp", EnableOdoo: true, NumMessages: 10,
	})
	if errors.Is(err, client.ErrUnreachable) {
		fmt.Println("there is no Hearth")
		return
	}
	if err != nil {
		panic(err)
	}
	for part, problem := range got.Errors { // the other parts are there
		fmt.Println(part, "is missing:", problem)
	}
	fmt.Println("muted:", got.MuteStatus != nil && got.MuteStatus.Muted)
	fmt.Println(got.History.MsgHistory)
	// Output:
	// odoo_models is missing: hearth: No answer in time
	// muted: false
	// [{user Hello}]
}
