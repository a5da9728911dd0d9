package emf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// document is a line with some metrics, targets and a time.
func document(metrics, targets string, at time.Time) string {
	return fmt.Sprintf(`{"F":"f",%s,"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"N","Dimensions":[["F"]],"Metrics":[%s]}]}}`, targets, at.UnixMilli(), metrics) + "\n"
}

func TestADocumentIsRead(t *testing.T) {
	line := document(`{"Name":"a.b","Unit":"Count"},{"Name":"c","Unit":"Milliseconds"}`, `"a.b":1,"c":[1,2.5],"late":true`, time.Now())
	d, err := Parse(line)
	if err != nil || !Is(line) || d.Namespace != "N" || d.Dimensions["F"] != "f" || !slices.Equal(d.Metrics["c"].Values, []float64{1, 2.5}) ||
		d.Metrics["a.b"].Unit != "Count" || len(d.Properties) != 1 || d.Properties["late"] != true {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestWhatCloudWatchRefusesIsRefused(t *testing.T) {
	const a = `{"Name":"a","Unit":"Count"}`
	many := func(n int, item string) string { return strings.Repeat(item+",", n-1) + item }
	var metrics, targets []string
	for i := range 101 {
		metrics = append(metrics, fmt.Sprintf(`{"Name":"m%d","Unit":"Count"}`, i))
		targets = append(targets, fmt.Sprintf(`"m%d":1`, i))
	}
	now := time.Now()
	for name, line := range map[string]string{
		"no JSON":         "{",
		"two lines":       document(a, "\"a\":1,\n\"b\":2", now),
		"an old one":      document(a, `"a":1`, now.Add(-15*24*time.Hour)),
		"a future one":    document(a, `"a":1`, now.Add(3*time.Hour)),
		"no metric":       document("", `"a":1`, now),
		"101 metrics":     document(strings.Join(metrics, ","), strings.Join(targets, ","), now),
		"101 values":      document(a, `"a":[`+many(101, "1")+`]`, now),
		"no value":        document(a, `"a":[]`, now),
		"a text":          document(a, `"a":"1"`, now),
		"no target":       document(a, `"b":1`, now),
		"a metric twice":  document(a+","+a, `"a":1`, now),
		"an unknown unit": document(`{"Name":"a","Unit":"ms"}`, `"a":1`, now),
		"a bad name":      document(`{"Name":"ä","Unit":"Count"}`, `"ä":1`, now),
		"a dimension":     strings.Replace(document(a, `"a":1`, now), `"F":"f"`, `"F":1`, 1),
		"31 dimensions":   strings.Replace(document(a, `"a":1`, now), `["F"]`, `[`+many(31, `"F"`)+`]`, 1),
		"no namespace":    strings.Replace(document(a, `"a":1`, now), `"N"`, `""`, 1),
		"a large value":   document(a, `"a":1e200`, now),
		"a resolution":    document(`{"Name":"a","Unit":"Count","StorageResolution":5}`, `"a":1`, now),
		"a stray member":  document(`{"Name":"a","Unit":"Count","Resolution":1}`, `"a":1`, now),
	} {
		if _, err := Parse(line); err == nil {
			t.Errorf("%s passes: %.300s", name, line)
		}
	}
}
