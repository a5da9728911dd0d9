package servers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// WeaviateVersion is the version that is started by default. Each folder of ../weaviate is a version that can be.
const WeaviateVersion = "1.39.3"

const weaviateModule = "github.com/weaviate/weaviate"

// WeaviateConfig says how the Weaviate is set up. The zero value is an open one, as a developer runs it: anonymous access,
// GraphQL on, no modules.
type WeaviateConfig struct {
	Version string // default: HEARTH_E2E_WEAVIATE, else [WeaviateVersion]

	// Users sets it up as a Weaviate Cloud cluster is: API keys, roles and no GraphQL. Hearth's user may use these classes
	// and nothing else, by the role that docs/weaviate.md gives it.
	Users []Classes

	QueryMaximum int  // rows that a search may reach; 0: the server's default
	Vectorizers  bool // the modules that take a provider's key with the request, text2vec-openai among them
}

// Weaviate is a running Weaviate: one node, no automatic schema, empty.
type Weaviate struct {
	URL     string
	GRPCURL string
	Log     string // the file

	// The keys of a root user, of Hearth, and of [Stranger], who has no role. They are empty without WeaviateConfig.Users.
	AdminKey, Key, StrangerKey string

	restartable
}

// StartWeaviate starts a Weaviate that keeps its data in dir.
func StartWeaviate(ctx context.Context, dir string, config WeaviateConfig) (*Weaviate, error) {
	version := cmp.Or(config.Version, os.Getenv("HEARTH_E2E_WEAVIATE"), WeaviateVersion)
	bin, err := cached("weaviate-"+version, func(tmp string) error { return buildWeaviate(ctx, version, tmp) })
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(6)
	if err != nil {
		return nil, err
	}
	w := &Weaviate{
		URL:     "http://" + address(ports[0]),
		GRPCURL: "http://" + address(ports[1]),
		Log:     filepath.Join(dir, "weaviate.log"),
	}
	if config.Users != nil {
		w.AdminKey, w.StrangerKey = "key-of-the-admin", "key-of-the-stranger"
	}

	environ := append(config.environ(w),
		"PERSISTENCE_DATA_PATH="+filepath.Join(dir, "data"),
		"AUTOSCHEMA_ENABLED=false",
		"DEFAULT_VECTORIZER_MODULE=none",
		"ENABLE_MODULES=",
		"DISABLE_TELEMETRY=true",
		"GO_PROFILING_DISABLE=true",
		"LOG_LEVEL=warning",
		"CLUSTER_HOSTNAME=node1",
		"CLUSTER_IN_LOCALHOST=true",
		"CLUSTER_BIND_ADDR=127.0.0.1",
		"CLUSTER_ADVERTISE_ADDR=127.0.0.1",
		"RAFT_BOOTSTRAP_EXPECT=1",
		fmt.Sprint("GRPC_PORT=", ports[1]),
		// In each pair the second is the first plus one: a node on localhost assumes that of its peers.
		fmt.Sprint("CLUSTER_GOSSIP_BIND_PORT=", ports[2]),
		fmt.Sprint("CLUSTER_DATA_BIND_PORT=", ports[3]),
		fmt.Sprint("RAFT_PORT=", ports[4]),
		fmt.Sprint("RAFT_INTERNAL_RPC_PORT=", ports[5]),
	)
	w.restartable, err = startRestartable(ctx, func(ctx context.Context) (*process, error) {
		cmd := exec.Command(filepath.Join(bin, "weaviate-server"),
			"--scheme", "http", "--host", "127.0.0.1", "--port", strconv.Itoa(ports[0]))
		cmd.Dir, cmd.Env = dir, environ
		p, err := start("weaviate", cmd, w.Log, false)
		if err != nil {
			return nil, err
		}
		return p, p.ready(ctx, func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL+"/v1/.well-known/ready", nil)
			if err != nil {
				return err
			}
			return get(http.DefaultClient, req)
		})
	})
	if err != nil {
		return nil, err
	}
	if config.Users != nil {
		if w.Key, err = w.makeUser(ctx, config.Users); err != nil {
			w.Stop()
			return nil, fmt.Errorf("servers: weaviate: make Hearth's user: %w", err)
		}
	}
	return w, nil
}

// environ is the part of the environment that depends on the configuration.
func (c WeaviateConfig) environ(w *Weaviate) []string {
	environ := []string{fmt.Sprintf("API_BASED_MODULES_DISABLED=%t", !c.Vectorizers)}
	if c.QueryMaximum != 0 {
		environ = append(environ, fmt.Sprint("QUERY_MAXIMUM_RESULTS=", c.QueryMaximum))
	}
	if c.Users == nil {
		return append(environ, "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=true")
	}
	return append(environ,
		"AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=false",
		"AUTHENTICATION_APIKEY_ENABLED=true",
		"AUTHENTICATION_APIKEY_USERS=admin,"+Stranger,
		"AUTHENTICATION_APIKEY_ALLOWED_KEYS="+w.AdminKey+","+w.StrangerKey,
		"AUTHENTICATION_DB_USERS_ENABLED=true",
		"AUTHORIZATION_RBAC_ENABLED=true",
		"AUTHORIZATION_RBAC_ROOT_USERS=admin",
		"DISABLE_GRAPHQL=true",
	)
}

// Stop ends the server after it has written its data.
func (w *Weaviate) Stop() {
	w.stop(15 * time.Second)
}

// buildWeaviate builds the server into tmp from a copy of its source. In the copy, listeners on all interfaces that no setting
// can change listen on the loopback.
func buildWeaviate(ctx context.Context, version, tmp string) error {
	e2e, err := command(ctx, ".", "go", "list", "-m", "-f", "{{.Dir}}", "hearth/e2e")
	if err != nil {
		return fmt.Errorf("only from a folder of hearth/e2e: %w", err)
	}
	versions := filepath.Join(strings.TrimSpace(string(e2e)), "weaviate")
	module := filepath.Join(versions, version)
	if _, err := os.Stat(module); err != nil {
		return fmt.Errorf("no Weaviate of this version can be built: %w; each folder of %s is one that can", err, versions)
	}
	answer, err := command(ctx, module, "go", "mod", "download", "-json", weaviateModule)
	if err != nil {
		return err
	}
	var source struct{ Version, Dir string }
	if err := json.Unmarshal(answer, &source); err != nil {
		return err
	}
	if source.Version != "v"+version {
		return fmt.Errorf("weaviate/%s/go.mod has %s", version, source.Version)
	}

	src := filepath.Join(tmp, "src")
	if err := os.CopyFS(src, os.DirFS(source.Dir)); err != nil {
		return err
	}
	for _, name := range []string{
		"adapters/handlers/grpc/server.go",
		"adapters/handlers/rest/clusterapi/grpc/server.go",
		"adapters/handlers/rest/clusterapi/serve.go",
	} {
		if err := replaceOnce(filepath.Join(src, name), `":%d"`, `"127.0.0.1:%d"`); err != nil {
			return err
		}
	}
	mod := filepath.Join(tmp, "build.mod")
	for from, to := range map[string]string{"go.mod": mod, "go.sum": filepath.Join(tmp, "build.sum")} {
		text, err := os.ReadFile(filepath.Join(module, from))
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			return err
		}
	}
	if _, err := command(ctx, module, "go", "mod", "edit", "-replace="+weaviateModule+"="+src, mod); err != nil {
		return err
	}
	_, err = command(ctx, module, "go", "build", "-modfile="+mod, "-trimpath", "-ldflags=-s -w",
		"-o", filepath.Join(tmp, "weaviate-server"), weaviateModule+"/cmd/weaviate-server")
	if err != nil {
		return err
	}
	return os.RemoveAll(src)
}

func replaceOnce(file, from, to string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if n := bytes.Count(text, []byte(from)); n != 1 {
		return fmt.Errorf("%s has %s %d times, want once", file, from, n)
	}
	return os.WriteFile(file, bytes.Replace(text, []byte(from), []byte(to), 1), 0o644)
}

func command(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("%s: %w: %s", name, err, exit.Stderr)
	}
	return out, err
}
