package vm

// Busybox gives a VM a shell and the tools that tests start: path is a static
// busybox. It is not the whole of it, so that a test which looks for a tool such as
// nsenter does not find a lesser one.
func Busybox(path string) []File {
	files := []File{{Path: "/bin/busybox", Host: path}}
	for _, name := range []string{
		"cat", "cp", "echo", "env", "false", "grep", "id", "kill", "ls", "mkdir", "mount", "ps",
		"readlink", "rm", "sed", "seq", "sh", "sleep", "touch", "true", "umount", "uname",
	} {
		files = append(files, File{Path: "/bin/" + name, Link: "busybox"})
	}
	return files
}
