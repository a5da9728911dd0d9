package settings

import (
	"log/slog"
	"strings"
	"testing"

	"hearth/internal/clock"
)

func TestAMalformedARNIsAFaultOfItsVariable(t *testing.T) {
	const good = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x"
	for _, variable := range []string{"HEARTH_WEAVIATE_API_KEY=", "HEARTH_ODOO_KEY=", "HEARTH_WEAVIATE_HEADERS=X-A=plain,X-B="} {
		name, _, _ := strings.Cut(variable, "=")
		env := []string{"HEARTH_WEAVIATE_URL=http://a", "HEARTH_ODOO_URL=http://b", "HEARTH_ODOO_KEY=k", variable + good + "%23f"}
		if name == "HEARTH_ODOO_KEY" {
			env[2] = "X=1"
		}
		if name != "HEARTH_WEAVIATE_HEADERS" {
			env[3] = variable + good + "#f"
		}
		if _, err := Read(env); err != nil {
			t.Error(err)
		}
		env[3] = strings.Replace(env[3], "secretsmanager", "s3hunter2", 1)
		s, err := Read(env)
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
		left := s.DropFaultyUpstreams(err)
		if (left.OdooURL == "") != (name == "HEARTH_ODOO_KEY") || (left.WeaviateURL == "") == (name == "HEARTH_ODOO_KEY") {
			t.Errorf("%s: weaviate at %q, odoo at %q", name, left.WeaviateURL, left.OdooURL)
		}
	}
}

func TestWhereSecretsAreAskedFor(t *testing.T) {
	s, err := Read([]string{"AWS_ENDPOINT_URL=http://all", "AWS_ENDPOINT_URL_SSM=http://ssm", "AWS_LAMBDA_INITIALIZATION_TYPE=snap-start"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.Secrets(slog.New(slog.DiscardHandler), clock.Awake())
	if cfg.Endpoint != "http://all" || cfg.Endpoints["ssm"] != "http://ssm" || cfg.Endpoints["secretsmanager"] != "" || cfg.KeepFrom != 1 {
		t.Errorf("%+v", cfg)
	}
}
