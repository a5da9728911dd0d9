package secrets

import (
	"errors"
	"strings"
)

// arn names a secret of Secrets Manager or a parameter of Systems Manager.
type arn struct {
	text                       string // without the field
	partition, service, region string
}

// The services that keep secrets, by their names in an ARN, which are also those of their endpoints and signatures.
const (
	SecretsManager = "secretsmanager"
	SSM            = "ssm"
)

// IsARN says whether a setting is meant to be an ARN, right or wrong.
func IsARN(value string) bool { return strings.HasPrefix(value, "arn:") }

// Validate says what is wrong with a value that names a secret. The error holds nothing of the value.
func Validate(value string) error {
	_, _, err := parse(value)
	return err
}

// parse splits arn#field. An empty field means the whole secret.
func parse(value string) (a arn, field string, err error) {
	const forms = "arn:aws:secretsmanager:region:account:secret:name or arn:aws:ssm:region:account:parameter/name"
	a.text, field, _ = strings.Cut(value, "#")
	parts := strings.SplitN(a.text, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return a, field, errors.New("must be a value or an ARN such as " + forms)
	}
	a.partition, a.service, a.region = parts[1], parts[2], parts[3]
	account, resource := parts[4], parts[5]
	name, isSecret := strings.CutPrefix(resource, "secret:")
	parameter, isParameter := strings.CutPrefix(resource, "parameter/")
	switch {
	case domain(a.partition) == "":
		return a, field, errors.New("the ARN's partition must be aws, aws-cn or aws-us-gov")
	case a.service != SecretsManager && a.service != SSM:
		return a, field, errors.New("the ARN's service must be secretsmanager or ssm: " + forms)
	case !consistsOf(a.region, lower+digits+"-"):
		return a, field, errors.New("the ARN has no region")
	case len(account) != 12 || !consistsOf(account, digits):
		return a, field, errors.New("the ARN's account must have 12 digits")
	case a.service == SecretsManager && (!isSecret || !consistsOf(name, lower+upper+digits+"/_+=.@!-")):
		return a, field, errors.New("the ARN must end in secret: and the secret's name; #field takes one field of a JSON secret")
	case a.service == SSM && (!isParameter || !consistsOf(parameter, lower+upper+digits+"/_.-:")):
		return a, field, errors.New("the ARN must end in parameter/ and the parameter's name")
	case strings.HasSuffix(value, "#"):
		return a, field, errors.New("the ARN names no field behind #")
	}
	return a, field, nil
}

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
)

// consistsOf says whether s is not empty and has only these characters.
func consistsOf(s, characters string) bool {
	return s != "" && strings.Trim(s, characters) == ""
}

// domain is the DNS domain of a partition's services; empty: the partition is not known.
func domain(partition string) string {
	switch partition {
	case "aws", "aws-us-gov":
		return "amazonaws.com"
	case "aws-cn":
		return "amazonaws.com.cn"
	}
	return ""
}

// endpoint is the default URL of the ARN's service.
func (a arn) endpoint() string {
	return "https://" + a.service + "." + a.region + "." + domain(a.partition)
}

// permission is the IAM action that the function's role needs to read the secret.
func (a arn) permission() string {
	if a.service == SSM {
		return "ssm:GetParameter"
	}
	return "secretsmanager:GetSecretValue"
}
