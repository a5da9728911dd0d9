package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"hearth/client/wire"
)

// A handler reads the kind of a problem to decide what to do next.
func ExampleProblem_Kind() {
	var err error = wire.NewProblem(wire.KindTimeout, "Odoo did not answer within 10s")
	p, ok := errors.AsType[*wire.Problem](err)
	if ok && p.Kind() == wire.KindTimeout {
		fmt.Println("retryable:", p.Retryable)
	}
	fmt.Println(err)
	// Output:
	// retryable: true
	// hearth: No answer in time: Odoo did not answer within 10s
}

// A part of a preprocess that failed is missing, and has its problem under errors.
func ExamplePreprocess() {
	const reply = `{"chat_id":"42","mute_status":{"muted":true},"errors":{"history":{"title":"No answer in time","status":504}}}`
	var got wire.Preprocess
	if err := json.Unmarshal([]byte(reply), &got); err != nil {
		panic(err)
	}
	fmt.Println("muted:", got.MuteStatus.Muted)
	fmt.Println("history:", got.History, got.Errors[wire.PartHistory])
	// Output:
	// muted: true
	// history: <nil> hearth: No answer in time
}
