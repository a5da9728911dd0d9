package servers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Stranger is a user without any role.
const Stranger = "stranger"

// Classes are a class of messages and one of mutes, or patterns of their names: * is any text.
type Classes struct{ Message, Mute string }

// GuideClasses are the classes that docs/weaviate.md names, which are Hearth's defaults.
func GuideClasses() Classes { return Classes{"Message", "ChatStatus"} }

// makeUser runs the commands of docs/weaviate.md that make Hearth's user, with rights for these classes instead of those in the
// guide, and returns the user's key.
func (w *Weaviate) makeUser(ctx context.Context, classes []Classes) (key string, err error) {
	guide, err := readGuide(ctx)
	if err != nil {
		return "", err
	}
	role, err := guide.role.forClasses(classes)
	if err != nil {
		return "", err
	}
	answer, err := w.asAdmin(ctx, guide.user)
	if err != nil {
		return "", err
	}
	var user struct{ APIKey string }
	if err := json.Unmarshal(answer, &user); err != nil {
		return "", err
	}
	for _, c := range []guideCommand{role, guide.assign} {
		if _, err := w.asAdmin(ctx, c); err != nil {
			return "", err
		}
	}
	return user.APIKey, nil
}

// guide is what docs/weaviate.md tells an administrator to run.
type guide struct{ user, role, assign guideCommand }

// guideCommand is a POST.
type guideCommand struct{ path, body string }

// readGuide reads the commands of the guide, which must have this form.
func readGuide(ctx context.Context) (g guide, err error) {
	root, err := command(ctx, ".", "go", "list", "-m", "-f", "{{.Dir}}", "hearth")
	if err != nil {
		return guide{}, err
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "docs", "weaviate.md"))
	if err != nil {
		return guide{}, err
	}
	form := regexp.MustCompile(`(?m)^curl -fsS "\$WEAVIATE_URL(/v1/[^"]+)" -H "Authorization: Bearer \$ADMIN_KEY" \\\n` +
		`  -H "Content-Type: application/json" -d '([^']*)'$`)
	var commands []guideCommand
	for _, match := range form.FindAllSubmatch(text, -1) {
		commands = append(commands, guideCommand{string(match[1]), string(match[2])})
	}
	if n := bytes.Count(text, []byte("\ncurl ")); n != 3 || len(commands) != 3 {
		return guide{}, fmt.Errorf("docs/weaviate.md has %d curl commands, %d of them in the form %s; want 3", n, len(commands), form)
	}
	return guide{commands[0], commands[1], commands[2]}, nil
}

// forClasses returns the command that makes the role for other classes than the guide's.
func (c guideCommand) forClasses(classes []Classes) (guideCommand, error) {
	var role struct {
		Name        string            `json:"name"`
		Permissions []json.RawMessage `json:"permissions"`
	}
	if err := json.Unmarshal([]byte(c.body), &role); err != nil {
		return guideCommand{}, fmt.Errorf("%s: %w", c.path, err)
	}
	guide := GuideClasses()
	var permissions []json.RawMessage
	for _, class := range classes {
		names := strings.NewReplacer(`"`+guide.Message+`"`, `"`+class.Message+`"`, `"`+guide.Mute+`"`, `"`+class.Mute+`"`)
		for _, p := range role.Permissions {
			permissions = append(permissions, json.RawMessage(names.Replace(string(p))))
		}
	}
	role.Permissions = permissions
	body, err := json.Marshal(role)
	return guideCommand{c.path, string(body)}, err
}

// asAdmin runs a command as a root user.
func (w *Weaviate) asAdmin(ctx context.Context, c guideCommand) ([]byte, error) {
	return w.rest(ctx, w.AdminKey, http.MethodPost, c.path, c.body)
}

// rest makes a call with a key, or with none if key is empty.
func (w *Weaviate) rest(ctx context.Context, key, method, path, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(res.Body)
	err = errors.Join(err, res.Body.Close())
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, res.Status, answer)
	}
	return answer, err
}
