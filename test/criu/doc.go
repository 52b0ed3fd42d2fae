// Package criu gives the tests a real CRIU, of 4.2 or later.
//
// Fetch unpacks Debian's newest one, with the libraries that it needs down to the C
// library, into the user's cache, where it serves beside whatever the system has:
// scripts in one folder start the programs through their own dynamic loader. A crun
// that knows CRIU comes with it, as that of Debian 12 does not.
package criu
