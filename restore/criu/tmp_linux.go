package criu

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
)

// CRIU makes mount points in /tmp, whatever TMPDIR says, such as .criu.mntns.XXXXXX
// (create_mnt_roots, criu/mount.c), and leaves them where it is killed, as by the end of
// the init above it. So it has a /tmp of its own, which goes with its mount namespace. What
// is in the host's is found there, too: CRIU itself may be.
const (
	tmp     = "/tmp"
	hostTmp = ".host" // in it
)

// mountTmp adds the covering of /tmp.
func mountTmp(p *agent.Program) {
	const what = "mount a /tmp for CRIU"
	host := p.Call(what, unix.SYS_OPEN_TREE, agent.Int(unix.AT_FDCWD), agent.String(tmp), agent.Int(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE))
	// Without a sticky bit, for the links to be followed (protected_symlinks,
	// Documentation/admin-guide/sysctl/fs.rst).
	p.Call(what, unix.SYS_MOUNT, agent.String("renest"), agent.String(tmp), agent.String("tmpfs"), agent.Int(unix.MS_NOSUID|unix.MS_NODEV), agent.String("mode=0777"))
	at := filepath.Join(tmp, hostTmp)
	p.Call(what, unix.SYS_MKDIRAT, agent.Int(unix.AT_FDCWD), agent.String(at), agent.Int(0o755))
	p.Call(what, unix.SYS_MOVE_MOUNT, host.Ret(), agent.String(""), agent.Int(unix.AT_FDCWD), agent.String(at), agent.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
	p.Call("close", unix.SYS_CLOSE, host.Ret())
}

// linkTmp makes links to what is in the host's /tmp.
func (l *layerRun) linkTmp() error {
	root, err := os.OpenRoot(l.within(tmp))
	if err != nil {
		return err
	}
	defer root.Close()
	host, err := root.Open(hostTmp)
	if err != nil {
		return err
	}
	defer host.Close()
	names, err := host.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == hostTmp {
			continue
		}
		if err := root.Symlink(filepath.Join(hostTmp, name), name); err != nil {
			return err
		}
	}
	return nil
}
