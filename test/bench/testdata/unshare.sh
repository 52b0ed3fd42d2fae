#!/bin/sh
# unshare.sh N: what program crowd does, by unshare(1): N processes, each the first
# in namespaces of its own. All are started at once; a line each says that it is there.
i=0
while [ $i -lt "$1" ]; do
	unshare --user --map-root-user --pid --fork --kill-child --uts --ipc --mount sh -c 'echo there; exec sleep 1000' &
	i=$((i + 1))
done
wait
