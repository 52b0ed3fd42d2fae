// Package vm runs programs on a Linux kernel of one's choice, in QEMU.
//
// A Kernel is one of Debian's cloud kernels, fetched by Fetch into the user's
// cache and verified by apt. Run boots it with an initial file system made in
// memory: a static Go program as init (package main in vm/init), the Job's files,
// and nothing else. Init mounts what a system has (proc, sys, devtmpfs, a pure
// cgroup2, tmpfs), raises lo, runs the Job's commands one after the other as root
// or as an ordinary user, and powers off.
//
// What the commands print, their exit codes and the files that are carried out
// come over a serial port of their own, in the frames of package wire; the
// kernel's log has the other port, so neither can garble the other.
//
// The accelerator is TCG: slow (about ten times), and the same everywhere. The
// host needs qemu-system-x86, qemu-system-arm, apt and dpkg-deb, and no privilege at all. Of the
// kernel's modules a VM has those that CRIU needs, and veth and tun: no overlay, no
// bridge.
package vm
