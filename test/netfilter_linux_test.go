package test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/renest/renest/test/require"
)

// requireNetfilter requires nf_tables, the rules of which CRIU saves with every net
// namespace.
func requireNetfilter(t *testing.T) {
	t.Helper()
	require.That(t, "nf_tables", netfilter())
}

// netfilter asks for the generation of the rules (NFT_MSG_GETGEN).
func netfilter() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	defer unix.Close(fd)
	msg := binary.NativeEndian.AppendUint32(nil, unix.SizeofNlMsghdr+4)
	msg = binary.NativeEndian.AppendUint16(msg, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN)
	msg = binary.NativeEndian.AppendUint16(msg, unix.NLM_F_REQUEST)
	msg = append(msg, make([]byte, 8+4)...) // sequence, port; struct nfgenmsg
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < unix.SizeofNlMsghdr+4 {
		return fmt.Errorf("netlink: %d bytes, %w", n, err)
	}
	if binary.NativeEndian.Uint16(answer[4:]) == unix.NLMSG_ERROR {
		if no := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); no != 0 {
			return fmt.Errorf("nf_tables: %w", unix.Errno(-no))
		}
		return errors.New("nf_tables: no answer")
	}
	return nil
}
