package extension_test

import (
	"context"
	"errors"
	"fmt"

	"hearth/extension"
	"hearth/internal/lambdatest"
)

func Example() {
	sandbox, err := lambdatest.New(lambdatest.Config{}) // in Lambda: AWS_LAMBDA_RUNTIME_API
	if err != nil {
		panic(err)
	}
	defer sandbox.Close()

	ctx := context.Background()
	e, err := extension.Register(ctx, extension.Config{RuntimeAPI: sandbox.Addr(), Name: "hearth"})
	if err != nil {
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

	_, err = extension.Register(ctx, extension.Config{RuntimeAPI: sandbox.Addr(), Name: "no-such-file"})
	fmt.Println("refused:", err != nil && !errors.Is(err, context.Canceled))
	// Output:
	// registered: [hearth]
	// ended: <nil>
	// refused: true
}
