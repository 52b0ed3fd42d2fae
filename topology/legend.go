package topology

// marks returns the marks that are in the picture, each with what it means.
func (p *picture) marks() [][2]string {
	text := make(map[mark]bool)
	state := make(map[State]bool)
	hole := false
	p.each(func(b *twig) {
		if b.ns == nil {
			text[b.why] = true
			return
		}
		text[externalMark] = text[externalMark] || b.ns.External
		text[outOfSightMark] = text[outOfSightMark] || p.blind(b.ns)
		state[b.ns.State] = true
		hole = hole || p.members.hole(b.ns)
	})
	var out [][2]string
	for _, m := range []struct {
		there      bool
		name, says string
	}{
		{text[externalMark], "external", "the host's: a restore takes the caller's own instead"},
		{hole, "no task", "no task is in it: renest why NS says what keeps it"},
		{state[Hidden], Hidden.String(), "alive, but listed by nobody: seen through an edge"},
		{state[Dead], Dead.String(), "its init is gone, nothing can run in it again"},
		{state[Unborn], Unborn.String(), "its init is yet to come"},
		{text[outOfSightMark], "out of sight", "there is one, but whoever looked may not see it"},
		{text[foldMark], "… more like this", "of the same shape: --all draws each"},
	} {
		if m.there {
			out = append(out, [2]string{m.name, m.says})
		}
	}
	return out
}

// blind reports whether the line of n says that an edge could not be seen.
func (p *picture) blind(n *Namespace) bool {
	switch {
	case n.External:
		return p.cut(n)
	case p.by == ByParent:
		return n.Owner == nil
	}
	return n.Type == PID && n.Parent == nil
}
