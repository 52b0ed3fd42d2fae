// Package images keeps a graph of namespaces in a file, nstree.img, or sends it
// through a pipe.
//
// The format is CRIU's: two magics, then protobuf messages, each behind its
// size, so that the file can lie in a directory of CRIU's images, which ignores
// the files it does not know. nstree.proto has the schema and every rule of it.
// An image says of its own that it is whole and undamaged: each entry is sealed
// with a CRC-32C, and the last one counts the others. The same topology gives
// the same bytes after the header.
//
// [Encode] and [Decode] stream: neither holds more than an entry, at most 256 KiB
// (16 MiB for the header), beside the graph. Decode reads not a byte past the
// image, makes two short reads an entry (give it a buffered reader where
// nothing else is to read from the source), and trusts nothing: every size,
// number and reference is bounded or checked, memory grows with the bytes that
// really came and never with what they claim, and the graph that comes back is
// valid in the sense of topology.Graph.Validate. It is no proof of origin: who
// can write the file can make it say anything, and what a restore of it may do
// is for the restore's privileges to bound.
//
// [WriteFile] and [ReadFile] add what a disk needs: an image is there whole and
// synced, or not at all.
//
// The package needs no privilege and no kernel: it builds and reads images on
// every system.
package images
