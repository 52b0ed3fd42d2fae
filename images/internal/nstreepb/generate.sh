#!/bin/sh
# Generates nstree.pb.go from ../../nstree.proto. The plugin is built from the
# module's own protobuf, so that go.mod alone says which; the line that names
# protoc's version is taken out, so that any protoc gives the same file.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go build -o "$tmp/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
protoc --plugin="$tmp/protoc-gen-go" --proto_path=../.. --go_out=. --go_opt=paths=source_relative nstree.proto
grep -v '^//[[:space:]]*protoc  *v' nstree.pb.go > "$tmp/nstree.pb.go"
cp "$tmp/nstree.pb.go" nstree.pb.go
