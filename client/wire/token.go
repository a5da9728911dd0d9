package wire

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// DeriveToken makes the token that both sides use in Lambda if HEARTH_TOKEN is not set, and names the variable that it
// comes from. It is derived from the credential that only this sandbox has: the value of AWS_SESSION_TOKEN, else that of
// AWS_CONTAINER_AUTHORIZATION_TOKEN. The credential itself never travels. Without either there is no token.
func DeriveToken(session, container string) (token, variable string) {
	secret, variable := session, "AWS_SESSION_TOKEN"
	if secret == "" {
		secret, variable = container, "AWS_CONTAINER_AUTHORIZATION_TOKEN"
	}
	if secret == "" {
		return "", ""
	}
	fips140.WithoutEnforcement(func() { // which panics over a short key; the credential is as long as AWS makes it
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte("hearth"))
		token = hex.EncodeToString(mac.Sum(nil))
	})
	return token, variable
}
