package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/renest/renest/topology"
)

// finder finds a namespace in a graph.
type finder func(*topology.Graph) (*topology.Namespace, error)

// parseOwner reads how a user namespace is referred to: self, the kernel's
// name, :ID, PID/user or a path.
func parseOwner(ref string) (finder, error) {
	switch {
	case ref == "self":
		return linked("/proc/self/ns/user"), nil
	case strings.HasPrefix(ref, ":"):
		id, err := strconv.ParseUint(ref[1:], 10, 64)
		if err != nil || id == 0 {
			return nil, errors.New("not a namespace id, which is a number above 0")
		}
		return numbered(id), nil
	case strings.Contains(ref, ":["):
		t, ino, err := topology.ParseName(ref)
		if err != nil {
			return nil, err
		}
		if t != topology.User {
			return nil, errors.New("only user namespaces own others")
		}
		return named(ino), nil
	}
	if pid, file, ok := strings.Cut(ref, "/"); ok && file == "user" && pid != "" && pid != "." && pid != ".." {
		n, err := parsePID(pid)
		if err != nil {
			return nil, err
		}
		return linked(filepath.Join("/proc", strconv.Itoa(n), "ns/user")), nil
	}
	if !strings.Contains(ref, "/") {
		return nil, errors.New("none of self, user:[4026531837], :ID, PID/user or a path")
	}
	return linked(ref), nil
}

// linked finds the namespace behind a file of nsfs.
func linked(path string) finder {
	return func(g *topology.Graph) (*topology.Namespace, error) {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil, fmt.Errorf("%s: no inode number", path)
		}
		return named(stat.Ino)(g)
	}
}

func named(ino uint64) finder {
	return func(g *topology.Graph) (*topology.Namespace, error) {
		if n := g.Index().Lookup(topology.User, ino); n != nil {
			return n, nil
		}
		return nil, fmt.Errorf("there is no user:[%d] in sight", ino)
	}
}

func numbered(id uint64) finder {
	return func(g *topology.Graph) (*topology.Namespace, error) {
		for _, n := range g.Namespaces {
			switch {
			case n.ID != id:
			case n.Type != topology.User:
				return nil, fmt.Errorf(":%d is %s, and only user namespaces own others", id, n.Name())
			default:
				return n, nil
			}
		}
		return nil, fmt.Errorf("there is no namespace with the id %d in sight", id)
	}
}
