package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hearth/client"
	"hearth/client/wire"
	"hearth/internal/app/stats"
)

// statsOptions are the options of hearth stats.
type statsOptions struct {
	watch bool // show it each second, in place
	json  bool
}

func parseStats(args []string) (o statsOptions, err error) {
	for _, arg := range args {
		switch arg {
		case "--watch":
			o.watch = true
		case "--json":
			o.json = true
		default:
			return o, fmt.Errorf("stats has no option %q: try --watch or --json", arg)
		}
	}
	return o, nil
}

// showStats shows what a Hearth does that runs on this machine. It finds the Hearth and the token as handlers do.
func showStats(ctx context.Context, args, environ []string, out io.Writer) error {
	o, err := parseStats(args)
	if err != nil {
		return err
	}
	get := getter(environ)
	cfg := client.FromEnv(get)
	cfg.Timeout = 5 * time.Second
	c, err := client.New(cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	terminal := terminalOf(out, get)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for first := true; ; first = false {
		text, err := statsText(ctx, c, o, terminal)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return explained(err, cfg)
		case err != nil: // it may start again
			text = faultText(explained(err, cfg), o)
		}
		if o.watch && !o.json && terminal.canMoveCursor {
			text = terminal.inPlace(text)
		} else if !o.json && !first {
			text = "\n" + text
		}
		if _, err := io.WriteString(out, text); err != nil || !o.watch {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func statsText(ctx context.Context, c *client.Client, o statsOptions, t terminal) (string, error) {
	s, err := stats.Ask(ctx, c)
	if err != nil {
		return "", err
	}
	if !o.json {
		width, _ := t.size()
		return s.Text(stats.Look{Width: width, Styled: t.styled}), nil
	}
	line, err := json.Marshal(s)
	return string(line) + "\n", err
}

// faultText is what is printed in place of the statistics after an error.
func faultText(err error, o statsOptions) string {
	if !o.json {
		return err.Error() + "\n"
	}
	line, _ := json.Marshal(map[string]string{"error": err.Error()}) // strings always encode
	return string(line) + "\n"
}

// explained says what to do about an error.
func explained(err error, cfg client.Config) error {
	at := strings.Join(slices.DeleteFunc([]string{cfg.Socket, cfg.Addr}, func(s string) bool { return s == "" }), " or ")
	if errors.Is(err, client.ErrUnreachable) {
		why := strings.TrimPrefix(err.Error(), client.ErrUnreachable.Error()) // it asks a handler about its layer
		return fmt.Errorf("no Hearth answers at %s: is it running, and do HEARTH_SOCKET and HEARTH_ADDR say where?%s", at, why)
	}
	if p, ok := errors.AsType[*client.Problem](err); ok && p.Kind() == wire.KindToken {
		have := "HEARTH_TOKEN is not set here"
		if cfg.Token != "" {
			have = "the token that this command has is another one"
		}
		return fmt.Errorf("the Hearth at %s wants its token, and %s: %s", at, have, p.Detail)
	}
	return err
}

// getter is os.Getenv for an environment; of two values the last one counts.
func getter(environ []string) func(string) string {
	return func(name string) (value string) {
		for _, entry := range environ {
			if v, ok := strings.CutPrefix(entry, name+"="); ok {
				value = v
			}
		}
		return value
	}
}

// terminal is where the output goes.
type terminal struct {
	canMoveCursor bool
	styled        bool
	fd            int // -1: the output is no file
}

func terminalOf(out io.Writer, get func(string) string) terminal {
	t := terminal{fd: -1}
	if f, ok := out.(*os.File); ok {
		t.fd = int(f.Fd()) //nolint:gosec // a descriptor fits
	}
	_, err := unix.IoctlGetWinsize(t.fd, unix.TIOCGWINSZ)
	t.canMoveCursor = err == nil && get("TERM") != "dumb"
	t.styled = t.canMoveCursor && get("NO_COLOR") == ""
	return t
}

// size is how many characters a line may have now, and how many lines the terminal has; 0: not known.
func (t terminal) size() (width, height int) {
	size, err := unix.IoctlGetWinsize(t.fd, unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// inPlace writes a text from the top of the terminal, over the text before. It leaves out the lines that have no room, because they would
// scroll the first lines away. It clears each line before it writes the line: afterwards the cursor may stand on the last character.
func (t terminal) inPlace(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if _, height := t.size(); height > 2 && len(lines) >= height {
		lines = append(lines[:height-2], fmt.Sprintf("… %d more lines", len(lines)-height+2))
	}
	return "\x1b[H\x1b[K" + strings.Join(lines, "\n\x1b[K") + "\n\x1b[J"
}
