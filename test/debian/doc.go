// Package debian reads Debian's archive beside the system's own apt.
//
// An Archive is a private apt: its sources, lists, cache and status are in one
// folder, so it reads any suite, of any release, and changes nothing of the
// system's. Where the packages come from is the mirror that the system's apt uses;
// apt verifies the signature of the suites and the checksum of the packages.
// A whole system, small and freshly installed, comes from it as well.
//
// It needs a Debian system with apt, dpkg-deb and the archive's keys (package
// debian-archive-keyring), and no privilege.
package debian
