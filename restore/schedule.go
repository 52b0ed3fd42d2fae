package restore

import "github.com/renest/renest/topology"

// schedule parts the steps of a plan into rounds. Within a round every agent
// carries out its steps in the plan's order, all agents at once; a round begins
// when the one before has ended. What is independent is done together that way,
// and what has to wait waits: a thousand siblings take as many rounds as one.
//
// A step comes in a later round than those of other agents that it needs: the
// fork of its agent, the maps of that agent's user namespace, whatever is done
// to a namespace before it is entered. Of its own agent's steps it keeps the
// order, but for forks and the writing of maps, which change nothing about who
// does them.
func schedule(p *Plan) [][]int {
	s := &scheduler{
		plan:    p,
		round:   make([]int, len(p.Steps)),
		agents:  make([]agentRounds, p.Agents),
		touched: map[*topology.Namespace]int{},
		mapped:  map[*topology.Namespace]int{},
		opened:  map[*topology.Namespace]int{},
	}
	rounds := 0
	for i := range p.Steps {
		s.round[i] = s.place(&p.Steps[i])
		s.latest = max(s.latest, s.round[i])
		rounds = max(rounds, s.round[i]+1)
	}
	list := make([][]int, rounds)
	for i, r := range s.round {
		list[r] = append(list[r], i)
	}
	return list
}

// agentRounds is what the scheduler knows of an agent.
type agentRounds struct {
	born   int // the first round in which it can act
	change int // the last round in which it changed itself
	act    int // the last round in which it did anything
	user   *topology.Namespace
}

type scheduler struct {
	plan   *Plan
	round  []int
	agents []agentRounds
	latest int
	made   int // the last round in which something is made
	// The first rounds in which another agent can rely on what was done to a
	// namespace: anything, its maps, the taking of its descriptor.
	touched, mapped, opened map[*topology.Namespace]int
}

// place returns the round of the next step.
func (s *scheduler) place(st *Step) int {
	a := &s.agents[st.By]
	r := max(a.born, a.change, s.mapped[a.user])
	switch st.Op {
	case OpFork:
		for _, w := range st.Writers { // before they change or end
			r = max(r, s.agents[w].born)
		}
		for _, w := range st.Writers {
			s.agents[w].act = max(s.agents[w].act, r)
		}
		s.made = max(s.made, r)
		s.fork(st, r)
	case OpMap:
		r = max(r, s.agents[st.New].born) // only then its directory is known
		s.mapped[st.NS] = r + 1
		s.touched[st.NS] = max(s.touched[st.NS], r+1)
	default:
		r = max(r, a.act)
		if st.Op == OpJoin {
			r = max(r, s.touched[st.NS], s.opened[st.NS])
			if st.NS.Type == topology.User {
				a.user = st.NS
			}
		}
		if st.Op == OpExit && s.kills(st) {
			r = max(r, s.latest+1)
		}
		if st.Op == OpSet && st.NS.Type.HasParent() {
			r = max(r, s.made+1)
		}
		for _, n := range st.Creates { // OpUnshare
			s.made = max(s.made, r)
			s.touched[n], s.opened[n] = r+1, r+1
		}
		if st.NS != nil && st.Op != OpIDs {
			s.touched[st.NS] = max(s.touched[st.NS], r+1)
		}
		a.change = r
	}
	a.act = max(a.act, r)
	return r
}

// fork notes what the child of a fork in round r begins with. It takes the
// descriptors of its namespaces in the first round in which it can.
func (s *scheduler) fork(st *Step, r int) {
	child := &s.agents[st.New]
	child.born, child.user = r+1, s.agents[st.By].user
	for _, n := range st.Creates {
		s.touched[n], s.opened[n] = r+1, r+2
		if n.Type == topology.User {
			child.user = n
		}
	}
}

// kills reports whether the end of an agent is that of a pid namespace: then
// nothing may still be going on in it.
func (s *scheduler) kills(st *Step) bool { return st.NS != nil && st.NS.Type == topology.PID }
