package secrets

import (
	"strings"
	"testing"

	"hearth/pool"
)

func TestWhatAnARNMustBe(t *testing.T) {
	for value, want := range map[string]string{
		inManager: "", inSSM: "", inManager + "#a.b": "", inSSM + ":3": "",
		"arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x": "",
		"arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/x":  "",
		"arn:aws-iso:ssm:us-iso-east-1:123456789012:parameter/x":     "partition",
		"arn:aws:s3:::bucket": "service",
		"arn:":                "must be a value or an ARN",
		"arn:aws:secretsmanager:eu-central-1:123456789012":                  "must be a value or an ARN",
		"arn:aws:secretsmanager::123456789012:secret:x":                     "region",
		"arn:aws:secretsmanager:evil.example/:123456789012:secret:x":        "region",
		"arn:aws:secretsmanager:eu-central-1:12345:secret:x":                "account",
		"arn:aws:secretsmanager:eu-central-1:12345678901x:secret:x":         "account",
		"arn:aws:secretsmanager:eu-central-1:123456789012:secret:":          "secret:",
		"arn:aws:secretsmanager:eu-central-1:123456789012:parameter/x":      "secret:",
		"arn:aws:secretsmanager:eu-central-1:123456789012:secret:x:field::": "#field",
		"arn:aws:ssm:eu-central-1:123456789012:parameter":                   "parameter/",
		"arn:aws:ssm:eu-central-1:123456789012:secret:x":                    "parameter/",
		inManager + "#": "field",
	} {
		if err := Validate(value); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
	for value, want := range map[string]string{
		inManager: "https://secretsmanager.eu-central-1.amazonaws.com",
		"arn:aws-cn:ssm:cn-north-1:123456789012:parameter/x":                       "https://ssm.cn-north-1.amazonaws.com.cn",
		"arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:x-AbCdEf": "https://secretsmanager.us-gov-west-1.amazonaws.com",
	} {
		if a, _, err := parse(value); err != nil || a.endpoint() != want {
			t.Errorf("%s: %s, %v", value, a.endpoint(), err)
		}
	}
}

func FuzzValues(f *testing.F) {
	for _, s := range []string{"", "key", `{"a":"b"}`, `{"a":1e400}`, `{"a":{"a":1}}`, "\x00", `{"a":"\u0000"}`, "[", `{"a":"b"}{`} {
		f.Add(s, "a")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, text, field string) {
		value, err := valueOf(text, field)
		if (value == "") == (err == nil) {
			t.Errorf("%q, %v", value, err)
		}
		if err != nil && len(text) > 20 && strings.Contains(err.Error(), text) {
			t.Error(err)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	for _, s := range []string{`{"SecretString":"x"}`, `{"SecretBinary":"eA=="}`, `{"Parameter":{"Value":"x"}}`, `{"__type":"a#b:c","Message":"no"}`, `{"Parameter":null}`, "null", ""} {
		f.Add(s, inManager)
		f.Add(s, inSSM)
	}
	f.Fuzz(func(t *testing.T, body, name string) {
		a, _, err := parse(name)
		if err != nil {
			return
		}
		_, _ = textOf(a, []byte(body))
		r := refusalOf(a, &pool.Response{Status: 400, Body: []byte(body)}, &keys{secret: "secret-access-key"})
		if r.text == "" || strings.Contains(r.text, "secret-access-key") || strings.ContainsAny(r.text, "\n\r\x1b") {
			t.Errorf("%q", r.text)
		}
	})
}
