package odoo

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheDocumentedReadsAreTheDefaultOnes(t *testing.T) {
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "replaces the list:\n")
	section, _, _ = strings.Cut(section, ".\n")
	documented := regexp.MustCompile("[a-z_]+").FindAllString(section, -1)
	reads := DefaultReads()
	slices.Sort(reads)
	if !slices.Equal(documented, reads) {
		t.Errorf("docs/configuration.md lists %v\nthe reads are                %v", documented, reads)
	}
}
