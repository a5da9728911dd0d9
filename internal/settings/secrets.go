package settings

import (
	"log/slog"
	"maps"
	"slices"

	"hearth/internal/clock"
	"hearth/pool/secrets"
)

// Secrets is the config of the store of secrets.
func (s *Settings) Secrets(log *slog.Logger, pulse *clock.Pulse) secrets.Config {
	return secrets.Config{
		AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey, SessionToken: s.SessionToken, KeysURL: s.KeysURL, KeysToken: s.ContainerToken,
		Endpoint: s.Endpoint, Endpoints: map[string]string{secrets.SecretsManager: s.SecretsEndpoint, secrets.SSM: s.SSMEndpoint},
		ProxyFor: s.ProxyFor, RootCAs: s.Roots(), Pulse: pulse, KeepFrom: s.KeepFrom(), Logger: log,
	}
}

// validateSecrets checks the values that name a secret. The faults do not show the values.
func (s *Settings) validateSecrets(f *faults) {
	check := func(variable, of, value string) {
		if secrets.IsARN(value) {
			err := secrets.Validate(value)
			f.check(err == nil, variable, "%s%v", of, err)
		}
	}
	check("HEARTH_WEAVIATE_API_KEY", "", s.WeaviateKey)
	check("HEARTH_ODOO_KEY", "", s.OdooKey)
	for _, name := range slices.Sorted(maps.Keys(s.WeaviateHeaders)) {
		check("HEARTH_WEAVIATE_HEADERS", "the value of "+name+": ", s.WeaviateHeaders[name])
	}
}
