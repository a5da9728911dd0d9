package peers

import (
	"slices"
	"testing"
)

func TestPlanned(t *testing.T) {
	const text = `Reading package lists...
The following NEW packages will be installed:
  liblzf1 redis-server redis-tools
Inst liblzf1 (3.6-3 Debian:12.5/stable [amd64])
Inst redis-tools (5:7.0.15-1~deb12u10 Debian-Security:12/stable-security [amd64])
Inst redis-server (5:7.0.15-1~deb12u10 Debian-Security:12/stable-security [amd64])
Conf liblzf1 (3.6-3 Debian:12.5/stable [amd64])
`
	if got, want := planned(text), []string{"liblzf1", "redis-tools", "redis-server"}; !slices.Equal(got, want) {
		t.Errorf("%v and not %v", got, want)
	}
}
