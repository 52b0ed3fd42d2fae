//go:build linux

package criu

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/checkpoint-restore/go-criu/v7/rpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// TestServiceEnds has a CRIU end while others have its end of the wire too: what it has
// said is heard, and more is not waited for.
func TestServiceEnds(t *testing.T) {
	for name, answers := range map[string]bool{"silent": false, "answered": true} {
		t.Run(name, func(t *testing.T) {
			w, err := NewWire()
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			theirs, err := unix.FcntlInt(w.File().Fd(), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(theirs)
			cmd := exec.Command("sleep", "1000")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Wait() }()
			s, err := Started(w, cmd.Process.Pid, func(context.Context) (syscall.WaitStatus, error) { return 0, nil })
			if err != nil {
				t.Fatal(err)
			}
			if answers {
				b, err := proto.Marshal(&rpc.CriuResp{Type: rpc.CriuReqType_VERSION.Enum(), Success: new(true)})
				if err == nil {
					_, err = unix.Write(theirs, b)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err = s.Do(ctx, rpc.CriuReqType_VERSION, nil, nil)
			if answers != (err == nil) || !answers && !errors.Is(err, ErrFailed) {
				t.Error(err)
			}
		})
	}
}
