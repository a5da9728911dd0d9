package app

import (
	"context"
	"errors"

	"hearth/internal/settings"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/secrets"
	"hearth/pool/weaviate"
)

// namedSecret is a setting that names a secret.
type namedSecret struct {
	upstream, variable, name string
	secret                   pool.Secret
}

// secret returns the secret that the value of a variable names; nil: the value is no ARN.
func (a *app) secret(s settings.Settings, upstream, variable, value string) (pool.Secret, error) {
	if !secrets.IsARN(value) {
		return nil, nil //nolint:nilnil // no secret is no error
	}
	if a.secrets == nil {
		a.secrets = secrets.New(s.Secrets(a.log, a.pulse))
	}
	secret, err := a.secrets.Secret(variable, value)
	if err != nil {
		return nil, err
	}
	a.named = append(a.named, namedSecret{upstream, variable, value, secret})
	return secret, nil
}

// weaviateSecrets replaces the key and the headers that name a secret by those secrets.
func (a *app) weaviateSecrets(s settings.Settings, cfg *weaviate.Config) error {
	var err error
	cfg.SecretKey, err = a.secret(s, "weaviate", "HEARTH_WEAVIATE_API_KEY", cfg.APIKey)
	faults := []error{err}
	if cfg.SecretKey != nil {
		cfg.APIKey = ""
	}
	plain := map[string]string{}
	cfg.SecretHeaders = map[string]pool.Secret{}
	for name, value := range cfg.Headers {
		secret, err := a.secret(s, "weaviate", "HEARTH_WEAVIATE_HEADERS: "+name, value)
		faults = append(faults, err)
		if secret == nil {
			plain[name] = value
		} else {
			cfg.SecretHeaders[name] = secret
		}
	}
	cfg.Headers = plain
	return errors.Join(faults...)
}

// odooSecret sets the config's Secret if its key names one.
func (a *app) odooSecret(s settings.Settings, cfg *odoo.Config) (err error) {
	cfg.Secret, err = a.secret(s, "odoo", "HEARTH_ODOO_KEY", cfg.Key)
	return err
}

// checkSecrets asks for the secrets of an upstream.
func (a *app) checkSecrets(ctx context.Context, upstream string) (findings []weaviate.Finding) {
	for _, n := range a.named {
		if n.upstream != upstream {
			continue
		}
		f := weaviate.Finding{Question: n.variable, Verdict: weaviate.OK, Detail: n.name}
		_, err := n.secret.Value(ctx)
		if e, ok := errors.AsType[*pool.SecretError](err); ok {
			f.Verdict, f.Detail = weaviate.Failed, e.Detail
		}
		findings = append(findings, f)
	}
	return findings
}
