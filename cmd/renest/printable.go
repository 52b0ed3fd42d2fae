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

// abridged leaves out the middle of a line that nobody would read: an argument of
// a hundred thousand characters. What is at its end says what is to be done.
func abridged(line string) string {
	const most, end = 2000, 500
	if len(line) <= most {
		return line
	}
	return strings.ToValidUTF8(line[:most-end], "") + " … " + strings.ToValidUTF8(line[len(line)-end:], "")
}
