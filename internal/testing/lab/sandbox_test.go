package lab

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAStartThatFailsSaysWhy(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	if _, err := Start(t.Context(), SandboxConfig{Extension: missing, Socket: filepath.Join(dir, "s")}); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("an extension that is missing: %v", err)
	}
	fails, err := exec.LookPath("false")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), SandboxConfig{Extension: fails, Socket: filepath.Join(dir, "s")}); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("an extension that ends: %v", err)
	}
}
