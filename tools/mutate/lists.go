package main

import (
	"fmt"
	"os"
	"path"
	"strings"
)

// lines are those of a file that are neither empty nor comments.
func lines(name string) ([]string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, " \r\n"); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, line)
		}
	}
	return all, nil
}

// readUsers reads the calls of go test that count for a package beyond its own tests. A line has packages, a colon and the
// arguments of go test.
func readUsers(name string) (map[string][][]string, error) {
	all, err := lines(name)
	if err != nil {
		return nil, err
	}
	users := map[string][][]string{}
	for _, line := range all {
		packages, args, _ := strings.Cut(line, ":")
		if strings.TrimSpace(args) == "" {
			return nil, fmt.Errorf("%s: %q: want packages, a colon and arguments of go test", name, line)
		}
		for p := range strings.FieldsSeq(packages) {
			users[p] = append(users[p], strings.Fields(args))
		}
	}
	return users, nil
}

// readAccepted reads the mistakes that no test can notice: by package and key, the reason. Each is written as mutate prints
// it, with the reason indented below it. The name and line of the file do not count.
func readAccepted(name string) (map[string]map[string]string, error) {
	all, err := lines(name)
	if err != nil {
		return nil, err
	}
	reasons := map[string]map[string]string{}
	for i := 0; i < len(all); i += 4 {
		if i+4 > len(all) || all[i+1][0] != '-' || all[i+2][0] != '+' || all[i+3][0] != ' ' {
			return nil, fmt.Errorf("%s: %q: want four lines: the place and kind, -code, +code, and the reason, indented", name, all[i])
		}
		file, what, _ := strings.Cut(all[i], " ")
		dir := path.Dir(file)
		if reasons[dir] == nil {
			reasons[dir] = map[string]string{}
		}
		key := strings.Join([]string{what, all[i+1], all[i+2]}, "\n")
		reasons[dir][key] = strings.TrimSpace(all[i+3])
	}
	return reasons, nil
}
