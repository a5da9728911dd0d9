package app

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"hearth/internal/testing/await"
)

// pty is a terminal of so many columns and rows. What is written to user comes out of screen.
func pty(t *testing.T, columns, rows uint16) (screen, user *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd()) //nolint:gosec // a descriptor fits
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err := errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0), unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows})); err != nil {
		t.Fatal(err)
	}
	if user, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = user.Close() })
	return screen, user
}

// watched is what hearth stats --watch has written to a terminal until it has shown all twice.
func watched(t *testing.T, columns, rows uint16, shown string, env ...string) string {
	t.Helper()
	screen, user := pty(t, columns, rows)
	cmd := exec.CommandContext(t.Context(), binary(t), "stats", "--watch")
	cmd.Env, cmd.Stdout, cmd.Stderr = asTested(env...), user, user
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = user.Close() // so that the screen ends with the command
	var out logBuffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		for memory := make([]byte, 4096); ; {
			n, err := screen.Read(memory)
			_, _ = out.Write(memory[:n])
			if err != nil {
				return
			}
		}
	}()
	await.That(t, "it was shown twice", func() bool { return strings.Count(out.String(), shown) >= 2 })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	<-read
	return strings.ReplaceAll(out.String(), "\r\n", "\n")
}

// A screen that scrolls would push the first lines away each second.
func TestAWatchFitsItsTerminal(t *testing.T) {
	env, _, _ := gated(t)
	p := serving(t, env...)
	const columns, rows, end = 50, 12, "\x1b[J"
	text := watched(t, columns, rows, end, "HEARTH_ADDR="+p.addr, "TERM=xterm")
	for screen := range strings.SplitSeq(strings.TrimSuffix(text, end), end) {
		screen, fromTheTop := strings.CutPrefix(screen, "\x1b[H")
		lines := strings.Split(screen, "\n")
		if !fromTheTop || len(lines) != rows || !strings.Contains(lines[0], "\x1b[1mCache: ") || !strings.HasSuffix(lines[rows-2], " more lines") || lines[rows-1] != "" {
			t.Errorf("%d lines: %q", len(lines), lines)
		}
		for _, line := range lines[:len(lines)-1] {
			line, cleared := strings.CutPrefix(line, "\x1b[K")
			for _, style := range []string{"\x1b[1m", "\x1b[0m"} {
				line = strings.ReplaceAll(line, style, "")
			}
			if n := utf8.RuneCountInString(line); !cleared || n > columns || strings.Contains(line, "\x1b") {
				t.Errorf("%d characters: %q", n, line)
			}
		}
	}
}

func TestATerminalThatIsTooSimpleGetsText(t *testing.T) {
	env, _, _ := gated(t)
	p := serving(t, env...)
	text := watched(t, 50, 12, "Cache: ", "HEARTH_ADDR="+p.addr, "TERM=dumb")
	if i := slices.Index([]byte(text), '\x1b'); i >= 0 || !strings.Contains(text, "Advice\nnone\n") {
		t.Errorf("%q", text)
	}
	plain := watched(t, 50, 12, "\x1b[J", "HEARTH_ADDR="+p.addr, "TERM=xterm", "NO_COLOR=1")
	if strings.Contains(plain, "\x1b[1m") {
		t.Errorf("%q", plain)
	}
}
