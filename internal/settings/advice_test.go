package settings

import (
	"reflect"
	"testing"
	"time"

	"hearth/cache"
	"hearth/internal/monitor/advice"
)

func TestAdviceIsAboutTheSettings(t *testing.T) {
	for kind, cold := range map[string]bool{"on-demand": true, "snap-start": false, "provisioned-concurrency": false, "lambda-managed-instances": false} {
		s, err := Read([]string{
			"AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "AWS_LAMBDA_INITIALIZATION_TYPE=" + kind, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512",
			"HEARTH_WORKERS=7", "HEARTH_TIMELINE_WINDOW=60", "HEARTH_CONN_MAX_IDLE=70s", "HEARTH_PREPROCESS_TIMEOUT=8s", "HEARTH_WEAVIATE_TIMEOUT=9s",
			"HEARTH_ODOO_TIMEOUT=11s", "HEARTH_TTL_MUTE=3s",
		})
		if err != nil {
			t.Fatal(err)
		}
		want := advice.Settings{
			Workers: 7, TimelineWindow: 60, ConnMaxIdle: 70 * time.Second, PreprocessTimeout: 8 * time.Second,
			Timeouts: map[string]time.Duration{"weaviate": 9 * time.Second, "odoo": 11 * time.Second}, Policies: s.Policies(),
			MemoryLimit: s.MemoryLimit(), FunctionMemory: 512 << 20, ColdStarts: cold,
		}
		if got := s.Advice(); !reflect.DeepEqual(got, want) || got.Policies[cache.Mute].Fresh != 3*time.Second {
			t.Errorf("%s: %+v, want %+v", kind, got, want)
		}
	}
}
