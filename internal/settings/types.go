package settings

import (
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth/cache"
)

// parse reads text into what a field's pointer points to. The error says what the text must be.
func parse(text string, field any) (err error) {
	var must string
	switch v := field.(type) {
	case *string:
		*v = text
	case *[]string:
		*v = strings.Split(text, ",")
	case *int:
		var n int64
		n, err = strconv.ParseInt(text, 10, 32)
		*v = int(n)
		must = "must be a whole number"
	case *int64:
		*v, err = strconv.ParseInt(text, 10, 64)
		must = "must be a whole number"
	case *bool:
		*v, err = strconv.ParseBool(text)
		must = "must be true or false"
	case *time.Duration:
		*v, err = time.ParseDuration(text)
		must = "must be a duration such as 250ms or 2s"
	case *slog.Level:
		err = v.UnmarshalText([]byte(text))
		must = "must be debug, info, warn or error"
	case encoding.TextUnmarshaler: // the types below
		return v.UnmarshalText([]byte(text))
	default:
		return fmt.Errorf("is of a type that cannot be read: %T", field)
	}
	if err != nil {
		return errors.New(must)
	}
	return nil
}

// ttl is fresh, or fresh/stale-while-revalidate/stale-if-error.
type ttl cache.Policy

func (t *ttl) UnmarshalText(text []byte) error {
	fields := strings.Split(string(text), "/")
	if len(fields) != 1 && len(fields) != 3 {
		return errors.New("must be fresh, or fresh/stale-while-revalidate/stale-if-error, such as 2s or 1h/24h/24h")
	}
	for i, into := range []*time.Duration{&t.Fresh, &t.WhileRevalidate, &t.IfError}[:len(fields)] {
		d, err := time.ParseDuration(fields[i])
		if err != nil || d < 0 || d > 365*24*time.Hour {
			return fmt.Errorf("%q is not a duration of 0 to 8760h, such as 250ms, 2s or 1h", fields[i])
		}
		*into = d
	}
	return nil
}

// headers are key=value pairs, separated by commas, values percent-encoded.
type headers map[string]string

func (h *headers) UnmarshalText(text []byte) error {
	*h = headers{}
	for pair := range strings.SplitSeq(string(text), ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		switch { // the value stays out of it: it is a secret
		case !ok || !regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$").MatchString(name):
			return errors.New("must be name=value pairs, separated by commas")
		case err != nil:
			return fmt.Errorf("the value of %s is not percent-encoded", name)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r >= 0x7f }):
			return fmt.Errorf("the value of %s must be printable ASCII", name)
		}
		for other := range *h {
			if strings.EqualFold(other, name) {
				return fmt.Errorf("%s stands twice", name)
			}
		}
		(*h)[name] = value
	}
	return nil
}

// roles are the stored values of the two sides: user|human,assistant|ai.
type roles struct{ user, assistant []string }

func (r *roles) UnmarshalText(text []byte) error {
	sides := strings.Split(string(text), ",")
	if len(sides) != 2 {
		return errors.New("must be the user's and the assistant's values, such as user|human,assistant|ai")
	}
	var seen []string
	for i, into := range []*[]string{&r.user, &r.assistant} {
		*into = nil
		for value := range strings.SplitSeq(sides[i], "|") {
			value = strings.TrimSpace(value)
			if value == "" {
				return errors.New("must hold no empty value")
			}
			if slices.Contains(seen, value) {
				return fmt.Errorf("%q stands twice", value)
			}
			seen = append(seen, value)
			*into = append(*into, value)
		}
	}
	return nil
}

// size is a number of bytes, such as 32MiB.
type size int64

func (s *size) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(1)
	for suffix, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if n, ok := strings.CutSuffix(number, suffix); ok {
			number, unit = n, bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return errors.New("must be a size such as 32MiB")
	}
	*s = size(n * unit)
	return nil
}
