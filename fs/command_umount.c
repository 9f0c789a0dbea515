/* zvm umount: ends a mount of ours, also one whose daemon has died; nothing else. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include "mountpoint.h"

int zvm_command_umount(int argc, char **argv)
{
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		puts("usage: zvm umount MOUNTPOINT\n\n"
		     "Unmounts a zvm that nobody uses or waits in. Also cleans up after one that died.");
		return 0;
	}
	if (argc != 2 || *argv[1] == '-')
		return zvm_complain(2, "umount", "name one MOUNTPOINT; `zvm umount --help` shows how");
	zvm_autofree char *path = zvm_mountpoint_resolve(argv[1]);
	if (!path)
		return zvm_complain(1, "umount", "%s: %s", argv[1], strerror(errno));
	if (zvm_mountpoint_look(path) != ZVM_OUR_MOUNT)
		return zvm_complain(1, "umount",
		                    "no zvm is mounted on %s; `grep fuse.zvm /proc/mounts` shows where one is", path);
	int stale = zvm_mountpoint_is_stale(path);
	int r = zvm_mountpoint_unmount(path, stale);
	if (r && geteuid() && zvm_mountpoint_owner(path) != (long)geteuid())
		return zvm_complain(1, "umount", "%s was mounted by user %ld; only that user and root may end it", path,
		                    zvm_mountpoint_owner(path));
	if (r == -EBUSY)
		return zvm_complain(1, "umount",
		                    "%s is in use; `fuser -vm %s` shows by whom, end that or leave the directory first",
		                    path, path);
	if (r)
		return zvm_complain(1, "umount", "%s: %s", path, strerror(-r));
	return 0;
}
