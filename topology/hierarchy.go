package topology

// How deep the kernel nests: levels below the initial namespace
// (create_user_ns, kernel/user_namespace.c, refuses to go below a parent whose
// level is above 32; MAX_PID_NS_LEVEL, include/linux/pid_namespace.h).
const (
	MaxUserLevel = 33
	MaxPIDLevel  = 32
)

// maxWalk bounds a walk up the parents: the kernel nests no deeper, and a graph
// that was not validated may go round in circles.
const maxWalk = MaxUserLevel + 1

// Level returns how many levels n is below the topmost namespace above it that
// is in sight: 0 for one without a parent. It counts as far as the kernel nests
// and no further; [Graph.Validate] refuses a graph that is deeper.
func (n *Namespace) Level() int {
	level := 0
	for p := n.Parent; p != nil && level < maxWalk; p = p.Parent {
		level++
	}
	return level
}

// The inode numbers of PROC_USER_INIT_INO and PROC_PID_INIT_INO,
// include/linux/proc_ns.h.
const (
	initialUser = 0xEFFFFFFD
	initialPID  = 0xEFFFFFFC
)

// Initial reports whether n is the user or the pid namespace that the kernel began
// with. There is none above it; of any other without a parent, that is out of sight.
func (n *Namespace) Initial() bool {
	return n.Type == User && n.Ino == initialUser || n.Type == PID && n.Ino == initialPID
}

// IsAncestor reports whether a is b's parent, or its parent's parent, and so
// on. A namespace is not its own ancestor.
func IsAncestor(a, b *Namespace) bool {
	if a == nil || b == nil {
		return false
	}
	p := b.Parent
	for range maxWalk {
		if p == nil || p == a {
			break
		}
		p = p.Parent
	}
	return p == a
}

// forest is the hierarchy that the parent edges of one type make, numbered so
// that a question about ancestors takes two comparisons at any depth.
type forest struct {
	level, root []int32
	first, size []int32 // of the numbers that the subtree of each node has
}

// hierarchy numbers the namespaces along their parent edges. order is
// topological and complete: a cyclic graph has no hierarchy.
func (num *numbered) hierarchy(order []int32) *forest {
	n := len(num.ns)
	f := &forest{
		level: make([]int32, n), root: make([]int32, n),
		first: make([]int32, n), size: make([]int32, n),
	}
	for k := len(order) - 1; k >= 0; k-- {
		i := order[k]
		f.size[i]++
		if p := num.parent[i]; p >= 0 {
			f.size[p] += f.size[i]
		}
	}
	next := make([]int32, n)
	var free int32
	for _, i := range order {
		f.root[i] = i
		if p := num.parent[i]; p >= 0 {
			f.level[i], f.root[i] = f.level[p]+1, f.root[p]
			f.first[i] = next[p]
			next[p] += f.size[i]
		} else {
			f.first[i] = free
			free += f.size[i]
		}
		next[i] = f.first[i] + 1
	}
	return f
}

// above reports whether a is b or one of its ancestors.
func (f *forest) above(a, b int32) bool {
	return f.first[a] <= f.first[b] && f.first[b] < f.first[a]+f.size[a]
}
