package main

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// printable escapes what would move a terminal's cursor, or worse: a command
// calls itself what it likes, and an image may say anything.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}
