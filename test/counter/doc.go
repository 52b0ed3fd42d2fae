// Command counter is a service in a container of its own, to be dumped and restored: it
// counts what comes in over an established TCP connection, which its only client keeps
// busy, and says on demand how far it is.
//
//	counter '{"new":["user","pid"],"count":65536,"child":{"new":["user",…],"root":"/srv/r","serve":true}}'
package main
