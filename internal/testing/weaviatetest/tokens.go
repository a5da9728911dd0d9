package weaviatetest

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// tokenizers cut a text as the property's tokenization says. "field" keeps the whole value but trims it, so " ", "\n"
// and "" are one and the same value to a filter, and "a" finds " a " and "a\u3000".
var tokenizers = map[string]func(string) []string{ //nolint:gochecknoglobals // never changed
	"field":      func(s string) []string { return []string{strings.TrimSpace(s)} },
	"whitespace": strings.Fields,
	"lowercase":  func(s string) []string { return strings.Fields(strings.ToLower(s)) },
	"word":       words,
	"trigram":    trigrams,
}

func words(s string) []string { return strings.FieldsFunc(strings.ToLower(s), notAlphanumeric) }

func notAlphanumeric(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }

// trigrams are all three letters in a row, of a text without white space and punctuation.
func trigrams(s string) []string {
	letters := []rune(strings.Join(words(s), ""))
	var out []string
	for i := range max(0, len(letters)-2) {
		out = append(out, string(letters[i:i+3]))
	}
	return out
}

// stopwords is the preset "en". They are left out of queries and filters on "word" properties, not out of what is
// indexed: they count in a text's length.
var stopwords = strings.Fields("a an and are as at be but by for if in into is it no not of on or such that the " + //nolint:gochecknoglobals // never changed
	"their then there these they this to was will with")

var errOnlyStopwords = fmt.Errorf("invalid search term, only stopwords provided. Stopwords can be configured in class.invertedIndexConfig.stopwords")

func (p *property) tokens(s string) []string { return tokenizers[p.Tokenization](s) }

// queryTokens are the tokens of s that a search on p looks for.
func (p *property) queryTokens(s string) []string {
	all := p.tokens(s)
	if p.Tokenization != "word" {
		return all
	}
	return slices.DeleteFunc(all, func(t string) bool { return slices.Contains(stopwords, t) })
}

// patternTokens are those of a pattern for Like, whose "*" and "?" are no punctuation.
func (p *property) patternTokens(s string) []string {
	if p.Tokenization != "word" {
		return p.tokens(s)
	}
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return notAlphanumeric(r) && r != '*' && r != '?' })
}
