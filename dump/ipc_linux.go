package dump

import (
	"encoding/binary"
	"fmt"
	"maps"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// ipcFiles are the settings of an ipc namespace that only a file tells. The limits
// of messages, semaphores and shared memory come by three calls instead, which are
// much quicker than nine files.
var ipcFiles = []string{
	"fs.mqueue.msg_default",
	"fs.mqueue.msg_max",
	"fs.mqueue.msgsize_default",
	"fs.mqueue.msgsize_max",
	"fs.mqueue.queues_max",
	"kernel.msg_next_id",
	"kernel.sem_next_id",
	"kernel.shm_next_id",
	"kernel.shm_rmid_forced",
}

// ipcInfo is IPC_INFO of include/uapi/linux/ipc.h.
const ipcInfo = 3

// ipcVisit asks for the settings of an ipc namespace.
func (d *dumper) ipcVisit(n *node) visit {
	var msg, sem, shm *agent.Buffer
	var calls [3]*agent.Call
	var files *sysctlFiles
	return visit{
		node:  n,
		what:  "ipc settings",
		files: true,
		ask: func(p *agent.Program, proc agent.Arg) {
			msg, sem, shm = agent.NewBuffer(32), agent.NewBuffer(40), agent.NewBuffer(72)
			calls[0] = p.Call("msgctl", unix.SYS_MSGCTL, agent.Int(0), agent.Int(ipcInfo), agent.Out(msg)).MayFail()
			calls[1] = p.Call("semctl", unix.SYS_SEMCTL, agent.Int(0), agent.Int(0), agent.Int(ipcInfo), agent.Out(sem)).MayFail()
			calls[2] = p.Call("shmctl", unix.SYS_SHMCTL, agent.Int(0), agent.Int(ipcInfo), agent.Out(shm)).MayFail()
			files = readSysctls(p, proc, ipcFiles)
		},
		take: func() error {
			values, err := files.values()
			for i, limits := range []map[string]string{
				msgLimits(msg.Bytes(32)), semLimits(sem.Bytes(40)), shmLimits(shm.Bytes(72)),
			} {
				if cerr := calls[i].Err(); cerr != nil {
					err = cerr
					continue
				}
				maps.Copy(values, limits)
			}
			n.out.IPC = &topology.IPCState{Sysctls: differing(topology.SysctlNames(topology.IPC), values, topology.SysctlDefault)}
			return err
		},
	}
}

// msgLimits reads struct msginfo of include/uapi/linux/msg.h.
func msgLimits(b []byte) map[string]string {
	return map[string]string{
		"kernel.msgmax": number32(b, 2), "kernel.msgmnb": number32(b, 3), "kernel.msgmni": number32(b, 4),
	}
}

// semLimits reads struct seminfo of include/uapi/linux/sem.h.
func semLimits(b []byte) map[string]string {
	return map[string]string{
		"kernel.sem": number32(b, 4) + " " + number32(b, 2) + " " + number32(b, 5) + " " + number32(b, 1),
	}
}

// shmLimits reads struct shminfo64 of include/uapi/asm-generic/shmbuf.h.
func shmLimits(b []byte) map[string]string {
	return map[string]string{
		"kernel.shmmax": number64(b, 0), "kernel.shmmni": number64(b, 2), "kernel.shmall": number64(b, 4),
	}
}

func number32(b []byte, i int) string {
	return fmt.Sprint(int32(binary.NativeEndian.Uint32(b[4*i:])))
}

func number64(b []byte, i int) string {
	return fmt.Sprint(binary.NativeEndian.Uint64(b[8*i:]))
}
