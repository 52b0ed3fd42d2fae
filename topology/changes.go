package topology

// changes says what pairs differ in, and what has no partner.
func (p *pairing) changes() []Change {
	var list []Change
	at := make(map[*Namespace]int) // the change with which a namespace came or went
	single := func(side int, n *Namespace) {
		for _, up := range []*Namespace{n.Owner, n.Parent} {
			if k, ok := at[up]; ok && up != nil {
				list[k].Below = append(list[k].Below, n)
				at[n] = k
				return
			}
		}
		at[n] = len(list)
		c := Change{First: n}
		if side == 1 {
			c = Change{Second: n}
		}
		list = append(list, c)
	}
	singleTask := func(side int, t *Task) {
		if k, ok := at[t.home()]; ok && t.home() != nil {
			list[k].Tasks++
			return
		}
		c := Change{FirstTask: t}
		if side == 1 {
			c = Change{SecondTask: t}
		}
		list = append(list, c)
	}
	a, b := p.c.sides[0], p.c.sides[1]
	for i, n := range a.ns { // owners before what they own
		if j := p.partner[0][i]; j == nowhere {
			single(0, n)
		} else if l := p.differences(int32(i), j); len(l) > 0 {
			list = append(list, Change{First: n, Second: b.ns[j], Aspects: l})
		}
	}
	for j, n := range b.ns {
		if p.partner[1][j] == nowhere {
			single(1, n)
		}
	}
	for k, t := range a.tasks {
		i := int32(len(a.ns) + k)
		if j := p.partner[0][i]; j == nowhere {
			singleTask(0, t)
		} else if l := p.differences(i, j); len(l) > 0 {
			list = append(list, Change{FirstTask: t, SecondTask: b.tasks[int(j)-len(b.ns)], Aspects: l})
		}
	}
	for k, t := range b.tasks {
		if p.partner[1][len(b.ns)+k] == nowhere {
			singleTask(1, t)
		}
	}
	return list
}

// differences compares a pair: its edges, then what it is without them.
func (p *pairing) differences(i, j int32) aspects {
	a, b := p.c.sides[0], p.c.sides[1]
	var l aspects
	if int(i) < len(a.ns) {
		n, m := a.ns[i], b.ns[j]
		l.edge(p, "owner", n.Owner, m.Owner)
		if n.Type != User || n.Parent != n.Owner || m.Parent != m.Owner {
			l.edge(p, "parent", n.Parent, m.Parent)
		}
	} else {
		t, u := a.tasks[int(i)-len(a.ns)], b.tasks[int(j)-len(b.ns)]
		for k := range t.Namespaces {
			if !p.c.o.IgnoreTime || Link(k).Type() != Time {
				l.edge(p, Link(k).String(), t.Namespaces[k], u.Namespaces[k])
			}
		}
	}
	return append(l, p.aspects(i, j)...)
}

// edge compares where two edges lead.
func (l *aspects) edge(p *pairing, what string, a, b *Namespace) {
	i, inside := p.c.sides[0].at[a]
	j, otherInside := p.c.sides[1].at[b]
	switch {
	case inside && otherInside && p.partner[0][i] == j:
	case !inside && !otherInside && edgeKind(a) == edgeKind(b):
	default:
		*l = append(*l, Aspect{what, endName(a), endName(b)})
	}
}
