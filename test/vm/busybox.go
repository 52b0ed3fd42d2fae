package vm

// Busybox gives a VM a shell and the tools that tests start. It is not the whole of it, so that a test which looks for a tool such as
// nsenter does not find a lesser one.
func Busybox(k Kernel) []File {
	files := []File{{Path: "/bin/busybox", Host: k.Busybox}}
	for _, name := range []string{
		"cat", "cp", "echo", "env", "false", "grep", "id", "kill", "ls", "mkdir", "mount", "ps",
		"readlink", "rm", "sed", "seq", "sh", "sleep", "touch", "true", "umount", "uname",
	} {
		files = append(files, File{Path: "/bin/" + name, Link: "busybox"})
	}
	return files
}
