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
		{text[externalMark], "external", "the host's: a dump does not own it, a restore takes the caller's own"},
		{hole, "no task", "kept alive by something else than tasks: renest why NS says by what"},
		{state[Hidden], Hidden.String(), "alive, but listed by nobody: reached through an edge"},
		{state[Dead], Dead.String(), "its init is gone: no process can be made in it again"},
		{state[Unborn], Unborn.String(), "its init is yet to come"},
		{text[outOfSightMark], "out of sight", "an edge leads there, but whoever looked may not follow it"},
		{text[foldMark], "… more like this", "the same shape, with other names and numbers: --all draws each"},
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
		return false
	case p.by == ByParent:
		return n.Owner == nil
	}
	return n.Type == PID && n.Parent == nil
}
