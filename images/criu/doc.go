// Package criu reads the images of CRIU that tell which namespaces a task was in, and
// rewrites them. It takes files from strangers: every size is bounded.
package criu
