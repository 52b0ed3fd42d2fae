package dump

import (
	"golang.org/x/sys/unix"

	"github.com/renest/renest/nsfs/agent"
	"github.com/renest/renest/topology"
)

// Of struct new_utsname, include/uapi/linux/utsname.h: six fields of 65 bytes.
const (
	utsField  = 65
	utsSize   = 6 * utsField
	utsNode   = 1 * utsField
	utsDomain = 5 * utsField
)

// utsVisit asks for host and domain name by uname(2), which is the only way.
func (d *dumper) utsVisit(n *node) visit {
	var buf *agent.Buffer
	var call *agent.Call
	return visit{
		node: n,
		what: "names",
		ask: func(p *agent.Program, _ agent.Arg) {
			buf = agent.NewBuffer(utsSize)
			call = p.Call("uname", unix.SYS_UNAME, agent.Out(buf)).MayFail()
		},
		take: func() error {
			if err := call.Err(); err != nil {
				return err
			}
			b := buf.Bytes(utsSize)
			n.out.UTS = &topology.UTSState{
				NodeName:   unix.ByteSliceToString(b[utsNode : utsNode+utsField]),
				DomainName: unix.ByteSliceToString(b[utsDomain : utsDomain+utsField]),
			}
			return nil
		},
	}
}
