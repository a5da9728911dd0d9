package servers

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed nginx.conf
var nginxConf string

// NginxConfig says which servers are behind nginx.
type NginxConfig struct {
	Weaviate     string // base URL, or empty for none
	WeaviateGRPC string // likewise
	Odoo         string // likewise
	HTTP2        bool   // offer HTTP/2 on the ports without gRPC too
}

// Nginx is a running nginx that terminates TLS, with a port for each server behind it and keep-alive on both sides.
type Nginx struct {
	CAFile          string // the PEM file to trust
	WeaviateURL     string
	WeaviateGRPCURL string
	OdooURL         string
	Log             string // the file

	restartable
}

// StartNginx starts an nginx with its configuration and certificates in dir.
func StartNginx(ctx context.Context, dir string, config NginxConfig) (*Nginx, error) {
	root, err := image(ctx)
	if err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "nginx")
	if err := os.Mkdir(state, 0o755); err != nil {
		return nil, fmt.Errorf("servers: nginx: %w", err)
	}
	if err := writeCertificates(state); err != nil {
		return nil, fmt.Errorf("servers: certificates: %w", err)
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}

	type server struct {
		Name, Upstream string
		Port           int
		GRPC           bool
	}
	var servers []server
	n := &Nginx{CAFile: filepath.Join(state, "ca.pem"), Log: filepath.Join(dir, "nginx.log")}
	add := func(name, upstream string, grpc bool) (url string) {
		if upstream == "" {
			return ""
		}
		port := ports[len(servers)]
		servers = append(servers, server{name, strings.TrimPrefix(upstream, "http://"), port, grpc})
		return "https://" + address(port)
	}
	n.WeaviateURL = add("weaviate", config.Weaviate, false)
	n.WeaviateGRPCURL = add("weaviate_grpc", config.WeaviateGRPC, true)
	n.OdooURL = add("odoo", config.Odoo, false)
	var conf strings.Builder
	fill := template.Must(template.New("nginx.conf").Parse(nginxConf))
	if err := fill.Execute(&conf, map[string]any{"HTTP2": config.HTTP2, "Servers": servers}); err != nil {
		return nil, fmt.Errorf("servers: nginx.conf: %w", err)
	}
	if err := os.WriteFile(filepath.Join(state, "nginx.conf"), []byte(conf.String()), 0o644); err != nil {
		return nil, fmt.Errorf("servers: nginx: %w", err)
	}

	n.restartable, err = startRestartable(ctx, func(ctx context.Context) (*process, error) {
		p, err := start("nginx", inImage(root, state, "nginx", "-e", "stderr", "-c", "/srv/hearth/nginx.conf"), n.Log, true)
		if err != nil {
			return nil, err
		}
		return p, p.ready(ctx, func(ctx context.Context) error {
			var dialer net.Dialer
			for _, s := range servers {
				conn, err := dialer.DialContext(ctx, "tcp", address(s.Port))
				if err != nil {
					return err
				}
				conn.Close()
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Stop kills nginx, which ends its connections.
func (n *Nginx) Stop() {
	n.stop(0)
}
