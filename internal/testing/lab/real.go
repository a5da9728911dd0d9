package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth/internal/testing/testnet"
)

// Real has the addresses and keys of real servers, all with TLS. Its fields are those that e2e/cmd/servers prints.
type Real struct {
	CAFile           string `json:"ca_file"`
	WeaviateURL      string `json:"weaviate_tls_url"`
	WeaviateGRPCURL  string `json:"weaviate_grpc_tls_url"`
	WeaviateKey      string `json:"weaviate_key"`
	WeaviateAdminKey string `json:"weaviate_admin_key"`
	OdooURL          string `json:"odoo_tls_url"`
	OdooDB           string `json:"odoo_db"`
	OdooUser         string `json:"odoo_user"`
	OdooUID          int    `json:"odoo_uid"`
	OdooKey          string `json:"odoo_api_key"`

	// The classes. Hearth's key may use them, and [MakeClasses] makes them with the settings of [Real.Admin].
	MessageClass, MuteClass string

	authorities []byte // as PEM
	http        *http.Client
}

// NewReal reads the file of the servers. It chooses new names for the classes; the caller calls [Real.DropClasses] in the end.
func NewReal(file string) (*Real, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	mark := strconv.FormatInt(time.Now().UnixMilli(), 36)
	r := &Real{MessageClass: "Contract_" + mark, MuteClass: "ContractMute_" + mark}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if r.authorities, err = os.ReadFile(r.CAFile); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.authorities)
	r.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}, Timeout: 10 * time.Second}
	return r, nil
}

// ReachUpstreams returns the real servers, each behind a proxy. It writes the certificates of their authorities to a file in dir.
func ReachUpstreams(dir string, r *Real, rtt time.Duration) (u *Upstreams, err error) {
	u = &Upstreams{CAFile: filepath.Join(dir, "ca.pem"), real: r}
	for _, s := range []struct {
		at  **testnet.Server
		url string
	}{{&u.WeaviateREST, r.WeaviateURL}, {&u.WeaviateGRPC, r.WeaviateGRPCURL}, {&u.OdooJSON, r.OdooURL}} {
		target, err := url.Parse(s.url)
		if err != nil {
			return u, errors.Join(err, u.Close())
		}
		if *s.at, err = testnet.Before(target.Host, rtt); err != nil {
			return u, errors.Join(err, u.Close())
		}
	}
	return u, os.WriteFile(u.CAFile, r.authorities, 0o600)
}

func (u *Upstreams) realSettings() []string {
	r := u.real
	return []string{
		"HEARTH_WEAVIATE_URL=" + u.WeaviateREST.URL, "HEARTH_WEAVIATE_GRPC_URL=" + u.WeaviateGRPC.URL, "HEARTH_WEAVIATE_API_KEY=" + r.WeaviateKey,
		"HEARTH_MESSAGE_CLASS=" + r.MessageClass, "HEARTH_MUTE_CLASS=" + r.MuteClass,
		"HEARTH_ODOO_URL=" + u.OdooJSON.URL, "HEARTH_ODOO_DB=" + r.OdooDB, "HEARTH_ODOO_KEY=" + r.OdooKey, "HEARTH_ODOO_USER=" + r.OdooUser,
		"HEARTH_ODOO_UID=" + strconv.Itoa(r.OdooUID), "HEARTH_TLS_CA=" + u.CAFile,
	}
}

// Admin returns settings with the key that may make classes.
func (r *Real) Admin(settings []string) []string {
	return append(slices.Clone(settings), "HEARTH_WEAVIATE_API_KEY="+r.WeaviateAdminKey)
}

// DropClasses removes the classes with everything in them.
func (r *Real) DropClasses(ctx context.Context) error {
	var errs []error
	for _, class := range []string{r.MessageClass, r.MuteClass} {
		_, err := r.ask(ctx, http.MethodDelete, r.WeaviateURL+"/v1/schema/"+class, nil)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// store puts objects into the class that stands for Message or ChatStatus.
func (r *Real) store(objects []Object) error {
	objects = slices.Clone(objects)
	for i, o := range objects {
		objects[i].Class = map[string]string{"Message": r.MessageClass, "ChatStatus": r.MuteClass}[o.Class]
	}
	answer, err := r.ask(context.Background(), http.MethodPost, r.WeaviateURL+"/v1/batch/objects", map[string]any{"objects": objects})
	if err == nil && strings.Contains(string(answer), `"errors":{`) {
		err = fmt.Errorf("store objects: %s", answer)
	}
	return err
}

// callOdoo calls a method over JSON-RPC, which every version of Odoo has.
func (r *Real) callOdoo(model, method string, kwargs map[string]any) ([]byte, error) {
	args := []any{}
	if list, ok := kwargs["vals_list"]; ok { // Odoo 14 wants it first
		args, kwargs = []any{list}, map[string]any{}
	}
	if kwargs == nil {
		kwargs = map[string]any{}
	}
	answer, err := r.ask(context.Background(), http.MethodPost, r.OdooURL+"/jsonrpc", map[string]any{
		"jsonrpc": "2.0", "method": "call", "id": 1,
		"params": map[string]any{"service": "object", "method": "execute_kw", "args": []any{r.OdooDB, r.OdooUID, r.OdooKey, model, method, args, kwargs}},
	})
	if err != nil {
		return nil, err
	}
	var got struct{ Result, Error json.RawMessage }
	if err := json.Unmarshal(answer, &got); err != nil || got.Error != nil {
		return nil, fmt.Errorf("%s.%s: %w, %s", model, method, err, answer)
	}
	return got.Result, nil
}

// ask sends a request straight to a server, not through its proxy, as Weaviate's administrator.
func (r *Real) ask(ctx context.Context, method, to string, body any) ([]byte, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+r.WeaviateAdminKey)
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", method, to, resp.StatusCode, answer)
	}
	return answer, err
}
