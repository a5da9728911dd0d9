// Command servers runs a Weaviate, an Odoo and an nginx in front of both, until SIGINT or SIGTERM. It prints one line of JSON
// that says where they are; "env" in it has the settings with which Hearth reaches them through nginx. Weaviate has keys and
// roles and no GraphQL, and Hearth's key has no right to make classes: run hearth schema with "weaviate_admin_key" instead.
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
	"hearth/internal/testing/contract"
)

func main() {
	http2 := flag.Bool("http2", false, "let nginx offer HTTP/2 to REST and Odoo too")
	open := flag.Bool("open", false, "a Weaviate with anonymous access and GraphQL")
	flag.Parse()
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *http2, *open); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, http2, open bool) (err error) {
	dir, err := os.MkdirTemp("", "hearth-servers-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	log.Print("starting; the first time, it takes minutes to build Weaviate and to install Odoo")
	config := servers.WeaviateConfig{Vectorizers: true}
	if !open {
		config.Users = []servers.Classes{servers.GuideClasses(), {Message: contract.MessageClasses, Mute: contract.MuteClasses}}
	}
	weaviate, err := servers.StartWeaviate(ctx, dir, config)
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
		Weaviate:     weaviate.URL,
		WeaviateGRPC: weaviate.GRPCURL,
		Odoo:         odoo.URL,
		HTTP2:        http2,
	})
	if err != nil {
		return err
	}
	defer nginx.Stop()

	line, err := json.Marshal(map[string]any{
		"pid":                   os.Getpid(),
		"dir":                   dir,
		"ca_file":               nginx.CAFile,
		"weaviate_url":          weaviate.URL,
		"weaviate_grpc_url":     weaviate.GRPCURL,
		"weaviate_tls_url":      nginx.WeaviateURL,
		"weaviate_grpc_tls_url": nginx.WeaviateGRPCURL,
		"weaviate_key":          weaviate.Key,
		"weaviate_admin_key":    weaviate.AdminKey,
		"odoo_url":              odoo.URL,
		"odoo_version":          odoo.Version,
		"odoo_employee":         odoo.Employee,
		"odoo_tls_url":          nginx.OdooURL,
		"odoo_db":               odoo.DB,
		"odoo_user":             odoo.User,
		"odoo_password":         odoo.Password,
		"odoo_uid":              odoo.UID,
		"odoo_api_key":          odoo.APIKey,
		"env": map[string]string{
			"HEARTH_WEAVIATE_URL":      nginx.WeaviateURL,
			"HEARTH_WEAVIATE_GRPC_URL": nginx.WeaviateGRPCURL,
			"HEARTH_WEAVIATE_API_KEY":  weaviate.Key,
			"HEARTH_ODOO_URL":          nginx.OdooURL,
			"HEARTH_ODOO_DB":           odoo.DB,
			"HEARTH_ODOO_USER":         odoo.User,
			"HEARTH_ODOO_KEY":          odoo.APIKey,
			"HEARTH_ODOO_UID":          strconv.Itoa(odoo.UID),
			"HEARTH_TLS_CA":            nginx.CAFile,
		},
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", line)
	<-ctx.Done()
	return nil
}
