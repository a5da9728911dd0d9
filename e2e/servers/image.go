package servers

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

//go:embed chroot.sh
var chrootScript string

// image returns the folder with Debian, PostgreSQL, Odoo 19 and nginx.
func image(ctx context.Context) (string, error) {
	return imageWith(ctx, newestOdoo)
}

// imageWith returns the folder with Debian, PostgreSQL and a version of Odoo. A change of chroot.sh makes a new one.
func imageWith(ctx context.Context, odoo string) (string, error) {
	if err := supported(); err != nil {
		return "", err
	}
	dir, err := cached("debian-odoo-"+odoo+"-"+digest(chrootScript), func(tmp string) error {
		root := filepath.Join(tmp, "root")
		return run(ctx, "debian", chroot("build", root, odoo), filepath.Join(tmp, "build.log"), true)
	})
	return filepath.Join(dir, "root"), err
}

// inImage returns the command that runs args in the image root with the folder state as its /srv/hearth.
func inImage(root, state string, args ...string) *exec.Cmd {
	return chroot(append([]string{"enter", root, state}, args...)...)
}

func chroot(args ...string) *exec.Cmd {
	return exec.Command("/bin/sh", append([]string{"-c", chrootScript, "chroot.sh"}, args...)...)
}

// supported is an error if this machine cannot run an image.
func supported() error {
	reason := ""
	switch {
	case runtime.GOOS != "linux":
		reason = "it is not Linux"
	case os.Geteuid() != 0:
		reason = "making a Debian folder needs root"
	default:
		for _, program := range []string{"apt-get", "chroot", "mount"} {
			if _, err := exec.LookPath(program); err != nil {
				reason = err.Error()
			}
		}
	}
	if reason != "" {
		return fmt.Errorf("servers: %w: %s", ErrUnsupported, reason)
	}
	return nil
}

func digest(texts ...string) string {
	h := sha256.New()
	for _, text := range texts {
		h.Write([]byte(text))
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6])
}
