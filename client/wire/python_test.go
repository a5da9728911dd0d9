package wire_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hearth/client/wire"
)

func TestThePythonClientHasTheSameKinds(t *testing.T) {
	const line = `(?m)^    "(.*?)": Kind\((\d+), "(.*?)"(, retryable=True)?\),$`
	python := map[wire.Kind]wire.Problem{}
	for _, kind := range regexp.MustCompile(line).FindAllStringSubmatch(read(t, "../python/hearth/errors.py"), -1) {
		status, err := strconv.Atoi(kind[2])
		if err != nil {
			t.Fatal(err)
		}
		python[wire.Kind(kind[1])] = wire.Problem{Status: status, Title: kind[3], Retryable: kind[4] != ""}
	}
	if !reflect.DeepEqual(python, wire.Kinds()) {
		t.Errorf("Python has %v\nGo has     %v", python, wire.Kinds())
	}
}

func TestThePythonClientHasTheSameStatistics(t *testing.T) {
	python := read(t, "../python/hearth/types.py")
	for class, reply := range map[string]any{
		"CacheCounts(TypedDict)":                wire.CacheCounts{},
		"CacheStats(CacheCounts)":               wire.CacheStats{},
		"BreakerStats(TypedDict)":               wire.BreakerStats{},
		"PoolStats(TypedDict)":                  wire.PoolStats{},
		"UpstreamStats(PoolStats, total=False)": wire.UpstreamStats{GRPC: &wire.PoolStats{}, REST: &wire.PoolStats{}},
		"Quantiles(TypedDict)":                  wire.Quantiles{},
	} {
		_, body, found := strings.Cut(python, "\nclass "+class+":\n")
		body, _, _ = strings.Cut(body, "\nclass ")
		if !found {
			t.Errorf("types.py has no class %s", class)
		}
		fields := regexp.MustCompile(`(?m)^    (\w+): `).FindAllStringSubmatch(body, -1)
		var got []string
		for _, field := range fields {
			got = append(got, field[1])
		}
		want := ownFields(t, reply)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s has %v\nGo has %v", class, got, want)
		}
	}
}

// ownFields are the names in JSON of a struct's fields, without those of a struct that it embeds.
func ownFields(t *testing.T, v any) (names []string) {
	t.Helper()
	all := fields(t, v)
	var inherited map[string]json.RawMessage
	if first := reflect.ValueOf(v).Field(0); first.Kind() == reflect.Struct {
		inherited = fields(t, first.Interface())
	}
	for name := range all {
		if _, is := inherited[name]; !is {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func fields(t *testing.T, v any) (fields map[string]json.RawMessage) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &fields)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fields
}
