package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Status is what the service answers on its unix socket, /tmp/ask.
type Status struct {
	PID    int    `json:"pid"`
	Client int    `json:"client"` // its pid, as it says over the connection
	Count  int64  `json:"count"`
	Local  string `json:"local"` // the established connection
	Remote string `json:"remote"`
	Host   string `json:"host"`
	Clock  int64  `json:"clock"` // CLOCK_MONOTONIC, in seconds
}

// serve counts the lines of one client, which it starts.
func serve() error {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // which CRIU does not know
	count, err := plain.Listen(context.Background(), "tcp", address())
	if err != nil {
		return err
	}
	ask, err := net.Listen("unix", "/tmp/ask")
	if err != nil {
		return err
	}
	if _, err := syscall.ForkExec("/counter", []string{"counter", "client", "{}"}, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}}); err != nil {
		return fmt.Errorf("start the client: %w", err)
	}
	conn, err := count.Accept()
	if err != nil {
		return err
	}
	var n, pid atomic.Int64
	go func() {
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			var from int64
			_, _ = fmt.Sscan(lines.Text(), &from)
			pid.Store(from)
			_, _ = fmt.Fprintln(conn, n.Add(1))
		}
		fmt.Fprintln(os.Stderr, "the connection has ended:", lines.Err())
	}()
	go func() {
		for {
			c, err := ask.Accept()
			if err != nil {
				continue
			}
			host, _ := os.Hostname()
			_ = json.NewEncoder(c).Encode(Status{
				PID: os.Getpid(), Client: int(pid.Load()), Count: n.Load(),
				Local: conn.LocalAddr().String(), Remote: conn.RemoteAddr().String(), Host: host, Clock: monotonic(),
			})
			_ = c.Close()
		}
	}()
	return nil
}

// client sends a line for every answer.
func client() error {
	conn, err := net.Dial("tcp", address())
	if err != nil {
		return err
	}
	answers := bufio.NewScanner(conn)
	for {
		if _, err := fmt.Fprintln(conn, os.Getpid()); err != nil {
			return err
		}
		if !answers.Scan() {
			return fmt.Errorf("no answer: %w", answers.Err())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Sec
}
