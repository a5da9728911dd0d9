// Command servers runs a Weaviate, an Odoo and nginx before both, prints one line of JSON that says where they are, and
// serves until SIGINT or SIGTERM. The "env" of the line is what a Hearth needs to talk to them through nginx.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"hearth/e2e/servers"
)

func main() {
	http2 := flag.Bool("http2", false, "let nginx offer HTTP/2")
	flag.Parse()
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *http2); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, http2 bool) (err error) {
	dir, err := os.MkdirTemp("", "hearth-servers-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	log.Print("starting; the first time, Weaviate and Odoo take some minutes to make")
	weaviate, err := servers.StartWeaviate(ctx, dir)
	if err != nil {
		return err
	}
	defer weaviate.Stop()
	odoo, err := servers.StartOdoo(ctx, dir)
	if err != nil {
		return err
	}
	defer odoo.Stop()
	nginx, err := servers.StartNginx(ctx, dir, servers.NginxConfig{
		Weaviate: weaviate.URL,
		Odoo:     odoo.URL,
		HTTP2:    http2,
	})
	if err != nil {
		return err
	}
	defer nginx.Stop()

	line, err := json.Marshal(map[string]any{
		"pid":              os.Getpid(),
		"dir":              dir,
		"ca_file":          nginx.CAFile,
		"weaviate_url":     weaviate.URL,
		"weaviate_grpc":    weaviate.GRPC,
		"weaviate_tls_url": nginx.WeaviateURL,
		"odoo_url":         odoo.URL,
		"odoo_tls_url":     nginx.OdooURL,
		"odoo_version":     odoo.Version,
		"odoo_employee":    odoo.Employee,
		"odoo_db":          odoo.DB,
		"odoo_user":        odoo.User,
		"odoo_password":    odoo.Password,
		"odoo_uid":         odoo.UID,
		"odoo_api_key":     odoo.APIKey,
		"env": map[string]string{
			"HEARTH_WEAVIATE_URL": nginx.WeaviateURL,
			"HEARTH_ODOO_URL":     nginx.OdooURL,
			"HEARTH_ODOO_DB":      odoo.DB,
			"HEARTH_ODOO_USER":    odoo.User,
			"HEARTH_ODOO_KEY":     odoo.APIKey,
			"HEARTH_ODOO_UID":     strconv.Itoa(odoo.UID),
			"HEARTH_TLS_CA":       nginx.CAFile,
		},
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", line)
	<-ctx.Done()
	return nil
}
