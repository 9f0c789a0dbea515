/* What is mounted where, by /proc/self/mountinfo, so that nothing that hangs is ever touched. */
#ifndef ZVM_FS_MOUNTPOINT_H
#define ZVM_FS_MOUNTPOINT_H

enum zvm_mountpoint { ZVM_NOT_A_MOUNT, ZVM_OUR_MOUNT, ZVM_FOREIGN_MOUNT };

/* `path` absolute and without links. */
enum zvm_mountpoint zvm_mountpoint_look(const char *path);
/* The user id of whoever mounted what `zvm_mountpoint_look` found there: only he and root may unmount it. */
long zvm_mountpoint_owner(const char *path);
/* Where a zvm is mounted, also under something else; NULL-terminated. 0 or -errno. */
int zvm_mountpoint_list(char ***ret);
void zvm_mountpoint_list_free(char **paths);
/* Is our mount there dead (ENOTCONN)? */
int zvm_mountpoint_is_stale(const char *path);
/* 0 or -errno: -EBUSY somebody uses it, -EPERM. `lazy`: also if busy, as soon as it no longer is. */
int zvm_mountpoint_unmount(const char *path, int lazy);
/*
 * The zvm mount that a path leads into, and the path below it, plain ("run/wc/x"; "" is the mount itself). Nothing in
 * the mount is touched, where even a look may run something. -ENOENT: it leads into none. Both are the caller's.
 */
int zvm_mountpoint_find(const char *path, char **ret_at, char **ret_below);
/* Absolute path without links, also when the last component is a dead mount. malloc'd; NULL and errno. */
char *zvm_mountpoint_resolve(const char *path);

#endif
