package app

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// createSchema creates the classes that are missing.
func createSchema(ctx context.Context, environ []string, out, stderr io.Writer, options Options) error {
	_, a, err := loadForCommand(environ, stderr, options)
	if err != nil {
		return err
	}
	defer a.close()
	if a.weaviate == nil {
		return errors.New("HEARTH_WEAVIATE_URL is not set")
	}
	created, err := a.weaviate.CreateClasses(ctx)
	for _, name := range created {
		fmt.Fprintln(out, "created", name)
	}
	if err == nil && len(created) == 0 {
		fmt.Fprintln(out, "every class exists")
	}
	return err
}
