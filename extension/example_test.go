package extension_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hearth/extension"
	"hearth/internal/testing/lambdatest"
)

func Example() {
	sandbox, err := lambdatest.New(lambdatest.Config{}) // in Lambda: AWS_LAMBDA_RUNTIME_API
	if err != nil {
		panic(err)
	}
	defer sandbox.Close()

	ctx := context.Background()
	e, err := extension.New(extension.Config{RuntimeAPI: sandbox.Addr(), Name: "hearth"})
	if err != nil {
		panic(err)
	}
	if err := e.Register(ctx); err != nil {
		panic(err)
	}
	fmt.Println("registered:", sandbox.Registered())

	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()
	if err := sandbox.WaitReady(ctx); err != nil {
		panic(err)
	}
	if err := sandbox.Shutdown(ctx, "spindown"); err != nil {
		panic(err)
	}
	fmt.Println("ended:", <-ended)

	other, err := extension.New(extension.Config{RuntimeAPI: sandbox.Addr(), Name: "no-such-file"})
	if err != nil {
		panic(err)
	}
	err = other.Register(ctx)
	fmt.Println("refused:", err != nil && !errors.Is(err, context.Canceled))
	// Output:
	// registered: [hearth]
	// ended: <nil>
	// refused: true
}

func ExampleAfterInvoke() {
	sandbox, err := lambdatest.New(lambdatest.Config{
		Answer: func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil },
	})
	if err != nil {
		panic(err)
	}
	defer sandbox.Close()

	telemetry := &extension.Telemetry{}
	after := extension.NewAfterInvoke(extension.AfterInvokeConfig{
		Telemetry: telemetry, Budget: time.Second,
		Refresh: func(context.Context) { fmt.Println("refreshed") },
	})
	ctx := context.Background()
	e, err := extension.New(extension.Config{
		RuntimeAPI: sandbox.Addr(), Name: "hearth", Events: []string{"INVOKE"}, DeadlineMargin: 200 * time.Millisecond,
		Telemetry: telemetry, OnInvoke: after.OnInvoke,
	})
	if err != nil {
		panic(err)
	}
	if err := e.Register(ctx); err != nil {
		panic(err)
	}
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()

	answer, err := sandbox.Invoke(ctx, []byte("hello"))
	if err != nil {
		panic(err)
	}
	fmt.Printf("answered: %s\n", answer)
	if err := errors.Join(sandbox.WaitReady(ctx), sandbox.Shutdown(ctx, "spindown"), <-ended); err != nil {
		panic(err)
	}
	// Unordered output:
	// answered: hello
	// refreshed
}

func ExampleTelemetry() {
	sandbox, err := lambdatest.New(lambdatest.Config{
		Answer: func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil },
	})
	if err != nil {
		panic(err)
	}
	defer sandbox.Close()

	telemetry := &extension.Telemetry{}
	ctx := context.Background()
	e, err := extension.New(extension.Config{
		RuntimeAPI: sandbox.Addr(), Name: "hearth", Events: []string{"INVOKE"}, Telemetry: telemetry,
		OnInvoke: func(ctx context.Context, event extension.Event) {
			done, err := telemetry.Wait(ctx, event.RequestID)
			fmt.Println("the handler ended with:", done.Status, err)
		},
	})
	if err != nil {
		panic(err)
	}
	if err := e.Register(ctx); err != nil {
		panic(err)
	}
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()

	if _, err := sandbox.Invoke(ctx, nil); err != nil {
		panic(err)
	}
	if err := errors.Join(sandbox.WaitReady(ctx), sandbox.Shutdown(ctx, "spindown"), <-ended); err != nil {
		panic(err)
	}
	// Output: the handler ended with: success <nil>
}
