package topology

import (
	"fmt"
	"strings"
	"unicode"
)

// line is a line in the making: parts with a blank between them.
type line []part

// part is a piece of a line in one style. Of several items as many are shown as
// there is room for, at least one, and the others are counted.
type part struct {
	style     style
	items     []string
	separator string
	glued     bool // without a blank behind it
}

func (l *line) add(s style, text string) { *l = append(*l, part{style: s, items: []string{text}}) }

// text returns a part with its first n items.
func (p part) text(n int) string {
	text := strings.Join(p.items[:n], p.separator)
	if rest := len(p.items) - n; rest > 0 {
		text += p.separator + more(rest)
	}
	return text
}

func more(n int) string { return fmt.Sprintf("+%d more", n) }

// fit returns the line in at most width columns, if that is not below zero:
// with as many items of each part as fit, and cut off if that does not do, but for
// a mark at its end.
func (l line) fit(width int, color bool) string {
	if last := len(l) - 1; width >= 0 && last > 0 && l[last].style == notable {
		mark := l[last].text(len(l[last].items))
		if rest := width - columns(mark) - 1; rest >= columns(l[0].text(1)) && l.width() > width {
			return l[:last].fit(rest, color) + " " + notable.paint(mark, color)
		}
	}
	shown := l.shown(width)
	var b strings.Builder
	at := 0
	for i, p := range l {
		text := p.text(shown[i])
		if !p.glued && i < len(l)-1 {
			text += " "
		}
		if width >= 0 && (at+columns(text) > width || at+columns(text) == width && i < len(l)-1) {
			b.WriteString(p.style.paint(cut(strings.TrimSuffix(text, " "), width-at), color))
			break
		}
		at += columns(text)
		b.WriteString(p.style.paint(text, color))
	}
	return b.String()
}

// width is how wide the line is with as few items as can be.
func (l line) width() int {
	used := len(l) - 1
	for _, p := range l {
		if p.glued {
			used--
		}
		used += columns(p.text(min(1, len(p.items))))
	}
	return used
}

// shown decides how many items there is room for: the parts take turns.
func (l line) shown(width int) []int {
	shown := make([]int, len(l))
	for i, p := range l {
		shown[i] = len(p.items)
		if width >= 0 {
			shown[i] = min(1, len(p.items))
		}
	}
	used := l.width()
	for grown := width >= 0; grown; {
		grown = false
		for i, p := range l {
			if n := shown[i]; n < len(p.items) && used+p.growth(n) <= width {
				used += p.growth(n)
				shown[i]++
				grown = true
			}
		}
	}
	return shown
}

// growth is how many columns longer a part is with one more than n items.
func (p part) growth(n int) int {
	longer := columns(p.separator) + columns(p.items[n])
	longer -= columns(p.separator) + columns(more(len(p.items)-n))
	if rest := len(p.items) - n - 1; rest > 0 {
		longer += columns(p.separator) + columns(more(rest))
	}
	return longer
}

// cut returns what fits of s, with a mark where it goes on.
func cut(s string, width int) string {
	if columns(s) <= width {
		return s
	}
	at := 0
	for i, r := range s {
		if at += runeColumns(r); at > width-1 {
			if width <= 0 {
				return ""
			}
			return s[:i] + "…"
		}
	}
	return s
}

// columns is how wide a terminal draws s.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// wide are the characters that take two columns, near enough.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115f, Stride: 1},
		{Lo: 0x2e80, Hi: 0xa4cf, Stride: 1},
		{Lo: 0xac00, Hi: 0xd7a3, Stride: 1},
		{Lo: 0xf900, Hi: 0xfaff, Stride: 1},
		{Lo: 0xfe30, Hi: 0xfe6f, Stride: 1},
		{Lo: 0xff00, Hi: 0xff60, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x1f300, Hi: 0x1faff, Stride: 1},
		{Lo: 0x20000, Hi: 0x3fffd, Stride: 1},
	},
}

func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}
