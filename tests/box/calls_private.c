/* The private file system: names, links, permissions, holes, times, and that its memory is counted and given back. */
#include "calls.h"
#include <dirent.h>
#include <linux/falloc.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <time.h>
#include <utime.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif

static bool exists(const char *name)
{
	struct stat st;
	return lstat(name, &st) == 0;
}

static unsigned links(const char *name)
{
	struct stat st;
	return lstat(name, &st) ? 0 : (unsigned)st.st_nlink;
}

static void creating(void)
{
	struct stat st;
	int fd = open("new", O_CREAT | O_EXCL | O_WRONLY, 0666);
	IS("a mask of 022 leaves 644", (fstat(fd, &st), st.st_mode & 07777), 0644);
	close(fd);
	umask(0077);
	close(open("private", O_CREAT | O_WRONLY, 0666));
	IS("a mask of 077 leaves 600", (stat("private", &st), st.st_mode & 07777), 0600);
	NEED(mkdir("dir", 0777) == 0);
	IS("of directories, too", (stat("dir", &st), st.st_mode & 07777), 0700);
	IS("umask tells the old one", umask(022), 0077);
	IS("umask takes the bits of permission alone", (umask(07777), umask(022)), 0777);
	FAILS("what exists is not created exclusively", open("new", O_CREAT | O_EXCL | O_WRONLY, 0666), EEXIST);
	NEED(symlink("dangling", "link") == 0);
	FAILS("nor through a link that leads nowhere", open("link", O_CREAT | O_EXCL | O_WRONLY, 0666), EEXIST);
	IS("but otherwise through it", (fd = open("link", O_CREAT | O_WRONLY, 0666)) >= 0, 1);
	close(fd);
	HOLDS("which makes what it names", exists("dangling"));
	FAILS("mkdir of what exists", mkdir("dir", 0755), EEXIST);
	FAILS("mkdir where a link is", mkdir("link", 0755), EEXIST);
	FAILS("mkdir below nothing", mkdir("nothing/x", 0755), ENOENT);
	FAILS("mkdir below a file", mkdir("new/x", 0755), ENOTDIR);
	FAILS("mkdir of the root", mkdir("/", 0755), EEXIST);
	IS("mkdir with a slash behind", mkdir("slash/", 0755), 0);
	IS("mknod of a file", mknod("node", S_IFREG | 0644, 0), 0);
	IS("mknod without a type", mknod("node2", 0644, 0), 0);
	FAILS("mknod of a device", mknod("device", S_IFCHR | 0644, 1), EPERM);
	FAILS("mknod of a directory", mknod("x", S_IFDIR | 0644, 0), EPERM);
	FAILS("mknod of an unknown type", mknod("x", 0170000, 0), EINVAL);
	IS("mkfifo", mkfifo("fifo", 0644), 0);
	HOLDS("makes one", lstat("fifo", &st) == 0 && S_ISFIFO(st.st_mode));
	FAILS("a fifo to write without a reader", open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
	int reader = open("fifo", O_RDONLY | O_NONBLOCK), writer = open("fifo", O_WRONLY | O_NONBLOCK);
	char text[8];
	IS("a fifo with both", write(writer, "abc", 3), 3);
	IS("is a pipe", read(reader, text, sizeof text), 3);
	close(reader);
	close(writer);
	fd = open("fifo", O_RDWR);
	IS("a fifo may be opened for both", (write(fd, "x", 1), read(fd, text, 8)), 1);
	close(fd);
}

static void renaming(void)
{
	make_file("one", "1");
	make_file("two", "2");
	IS("rename", rename("one", "three"), 0);
	HOLDS("moves", !exists("one") && file_is("three", "1"));
	IS("rename over a file", rename("three", "two"), 0);
	HOLDS("replaces it", !exists("three") && file_is("two", "1"));
	IS("rename onto itself", rename("two", "two"), 0);
	NEED(link("two", "same") == 0);
	IS("rename onto another name of it", rename("two", "same"), 0);
	HOLDS("does nothing", exists("two") && exists("same"));
	FAILS("rename of nothing", rename("nothing", "x"), ENOENT);
	FAILS("rename to below nothing", rename("two", "nothing/x"), ENOENT);
	NEED(mkdir("a", 0755) == 0 && mkdir("a/b", 0755) == 0 && mkdir("empty", 0755) == 0);
	FAILS("rename of a directory into itself", rename("a", "a/b/c"), EINVAL);
	FAILS("rename of a directory over its own", rename("a/b", "a"), ENOTEMPTY);
	FAILS("rename of a file over a directory", rename("two", "empty"), EISDIR);
	FAILS("rename of a directory over a file", rename("empty", "two"), ENOTDIR);
	FAILS("rename over a directory that is not empty", rename("empty", "a"), ENOTEMPTY);
	IS("rename over an empty directory", rename("a", "empty"), 0);
	HOLDS("takes what is below along", exists("empty/b") && !exists("a"));
	IS("a directory's links are counted", links("empty"), 3);
	FAILS("rename of a dot", rename("empty/.", "x"), EBUSY);
	FAILS("rename to dots", rename("empty", "x/.."), ENOENT);
	FAILS("rename of a file to a name with a slash", rename("two", "x/"), ENOTDIR);
	IS("rename of a directory to one", rename("empty", "a/"), 0);
	make_file("left", "left");
	make_file("right", "right");
	IS("renameat2", renameat2(AT_FDCWD, "left", AT_FDCWD, "left2", 0), 0);
	FAILS("renameat2 that must not replace", renameat2(AT_FDCWD, "left2", AT_FDCWD, "right", RENAME_NOREPLACE),
	      EEXIST);
	IS("and does not have to", renameat2(AT_FDCWD, "left2", AT_FDCWD, "left", RENAME_NOREPLACE), 0);
	IS("renameat2 that exchanges", renameat2(AT_FDCWD, "left", AT_FDCWD, "right", RENAME_EXCHANGE), 0);
	HOLDS("has exchanged", file_is("left", "right") && file_is("right", "left"));
	FAILS("an exchange with nothing", renameat2(AT_FDCWD, "left", AT_FDCWD, "nothing", RENAME_EXCHANGE), ENOENT);
	FAILS("both at once", renameat2(AT_FDCWD, "left", AT_FDCWD, "right", RENAME_EXCHANGE | RENAME_NOREPLACE),
	      EINVAL);
	FAILS("an unknown flag", renameat2(AT_FDCWD, "left", AT_FDCWD, "right", 64), EINVAL);
	IS("a directory and a file may be exchanged", renameat2(AT_FDCWD, "a", AT_FDCWD, "left", RENAME_EXCHANGE), 0);
	HOLDS("they are", exists("left/b") && file_is("a", "right"));
	FAILS("rename to what is the host's", rename("left", "/usr/x"), boxed ? EROFS : EXDEV);
}

static void linking(void)
{
	struct stat st;
	int fd = make_file("file", "content");
	IS("link", link("file", "second"), 0);
	IS("counts", links("file"), 2);
	FAILS("link over what exists", link("file", "second"), EEXIST);
	FAILS("link of a directory", link("a/..", "x"), ENOTDIR);
	NEED(mkdir("d", 0755) == 0);
	FAILS("link of a directory itself", link("d", "x"), EPERM);
	FAILS("link of nothing", link("nothing", "x"), ENOENT);
	FAILS("link out of what is the host's", link("/usr/bin/env", "x"), EXDEV);
	IS("symlink", symlink("file", "soft"), 0);
	IS("link of a link", link("soft", "soft2"), 0);
	HOLDS("is one", lstat("soft2", &st) == 0 && S_ISLNK(st.st_mode) && st.st_nlink == 2);
	IS("linkat that follows", linkat(AT_FDCWD, "soft", AT_FDCWD, "third", AT_SYMLINK_FOLLOW), 0);
	HOLDS("links the file", lstat("third", &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 3);
	FAILS("linkat with an unknown flag", linkat(AT_FDCWD, "file", AT_FDCWD, "x", 1), EINVAL);
	FAILS("symlink over what exists", symlink("x", "soft"), EEXIST);
	FAILS("symlink to nothing at all", symlink("", "x"), ENOENT);
	NEED(symlink("loop2", "loop1") == 0 && symlink("loop1", "loop2") == 0);
	FAILS("a loop of links", open("loop1", O_RDONLY), ELOOP);
	FAILS("stat of it", stat("loop1", &st), ELOOP);
	FAILS("below it", stat("loop1/x", &st), ELOOP);
	char name[16], target[16];
	strcpy(target, "file");
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof name, "chain%d", i);
		NEED(symlink(target, name) == 0);
		strcpy(target, name);
	}
	IS("forty links are followed", stat("chain40", &st), 0);
	FAILS("forty-one are not", stat("chain41", &st), ELOOP);
	NEED(symlink("d", "dlink") == 0);
	IS("a link to a directory", stat("dlink/", &st), 0);
	FAILS("rmdir of one", rmdir("dlink"), ENOTDIR);
	IS("unlink of one", unlink("dlink"), 0);

	IS("unlink while it is open", (unlink("file"), unlink("second"), unlink("third")), 0);
	char text[16];
	IS("keeps the content", pread(fd, text, sizeof text, 0), 7);
	IS("with no links", (fstat(fd, &st), st.st_nlink), 0);
	IS("to be written", pwrite(fd, "C", 1, 0), 1);
	FAILS("but not to be named again", linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH), ENOENT);
	close(fd);
	FAILS("unlink of a directory", unlink("d"), EISDIR);
	FAILS("rmdir of a file", rmdir("two"), ENOTDIR);
	FAILS("rmdir of a full one", rmdir("left"), ENOTEMPTY);
	FAILS("rmdir of a dot", rmdir("d/."), EINVAL);
	FAILS("rmdir of dots", rmdir("d/.."), ENOTEMPTY);
	IS("unlinkat of a directory", unlinkat(AT_FDCWD, "d", AT_REMOVEDIR), 0);
	FAILS("unlinkat with an unknown flag", unlinkat(AT_FDCWD, "d", 1), EINVAL);
	FAILS("unlink of nothing", unlink("nothing"), ENOENT);
	FAILS("unlink of what is the host's", unlink("/usr/bin/env"), boxed ? EROFS : EACCES);

	fd = open(".", O_TMPFILE | O_RDWR, 0640);
	IS("O_TMPFILE", fd >= 0, 1);
	IS("has no links", (fstat(fd, &st), st.st_nlink), 0);
	IS("and its mode", st.st_mode & 07777, 0640);
	write(fd, "made", 4);
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	IS("and can be named", linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), 0);
	HOLDS("then it is there", file_is("named", "made") && links("named") == 1);
	close(fd);
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0640);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	FAILS("not if it is exclusive", linkat(AT_FDCWD, path, AT_FDCWD, "named2", AT_SYMLINK_FOLLOW), ENOENT);
	FAILS("O_TMPFILE for reading", open(".", O_TMPFILE | O_RDONLY, 0640), EINVAL);
	FAILS("O_TMPFILE in a file", open("named", O_TMPFILE | O_RDWR, 0640), ENOTDIR);
	close(fd);
}

static void permissions(void)
{
	struct stat st;
	int fd = make_file("guarded", "secret");
	NEED(chmod("guarded", 0400) == 0);
	FAILS("0400 is not opened for writing", open("guarded", O_WRONLY), EACCES);
	FAILS("nor emptied", open("guarded", O_RDONLY | O_TRUNC), EACCES);
	FAILS("nor truncated", truncate("guarded", 0), EACCES);
	IS("but read", (close(fd), fd = open("guarded", O_RDONLY)) >= 0, 1);
	FAILS("not by access either", access("guarded", W_OK), EACCES);
	NEED(chmod("guarded", 0200) == 0);
	FAILS("0200 is not opened for reading", open("guarded", O_RDONLY), EACCES);
	IS("what is open already may be read", pread(fd, &st, 6, 0), 6);
	IS("fchmod", fchmod(fd, 06755), 0);
	IS("keeps the bits", (fstat(fd, &st), st.st_mode & 07777), 06755);
	IS("a write takes setuid away", (write(open("guarded", O_WRONLY), "x", 1), fstat(fd, &st), st.st_mode & 07777),
	   0755);
	NEED(mkdir("closed", 0755) == 0);
	close(make_file("closed/in", "x"));
	NEED(chmod("closed", 0600) == 0);
	FAILS("a directory without x is not passed", stat("closed/in", &st), EACCES);
	FAILS("nor entered", chdir("closed"), EACCES);
	NEED(chmod("closed", 0500) == 0);
	FAILS("one without w takes no name", open("closed/new", O_CREAT | O_WRONLY, 0644), EACCES);
	FAILS("nor gives one", unlink("closed/in"), EACCES);
	FAILS("nor lets it be renamed", rename("closed/in", "out"), EACCES);
	FAILS("nor makes a directory", mkdir("closed/d", 0755), EACCES);
	NEED(chmod("closed", 0300) == 0);
	FAILS("one without r is not listed", open("closed", O_RDONLY | O_DIRECTORY), EACCES);
	IS("but used", stat("closed/in", &st), 0);
	NEED(chmod("closed", 0755) == 0);
	FAILS("chown to another", chown("guarded", 0, -1), EPERM);
	IS("chown to oneself", chown("guarded", getuid(), getgid()), 0);
	IS("chown to nobody in particular", chown("guarded", -1, -1), 0);
	FAILS("chmod of what is root's", chmod("/dev/null", 0600), EPERM);
	FAILS("chmod of what is the host's", chmod("/usr/bin/env", 0755), boxed ? EROFS : EPERM);
	FAILS("chmod of nothing", chmod("nothing", 0755), ENOENT);
	IS("/tmp is sticky", (stat("/tmp", &st), st.st_mode & 07777), 01777);
	if (boxed) /* which of the host's are so is the host's matter */
		IS("and so is /dev/shm", (stat("/dev/shm", &st), st.st_mode & 07777), 01777);
	close(fd);
}

static void sizes(void)
{
	char text[8] = "........";
	struct stat st;
	int fd = make_file("size", "0123456789");
	IS("ftruncate to less", ftruncate(fd, 4), 0);
	HOLDS("cuts", file_is("size", "0123"));
	IS("truncate to more", truncate("size", 8), 0);
	IS("makes zeros", (pread(fd, text, 8, 0), memcmp(text, "0123\0\0\0\0", 8)), 0);
	FAILS("truncate below nothing", truncate("size", -1), EINVAL);
	FAILS("truncate of a directory", truncate("left", 0), EISDIR);
	FAILS("ftruncate of what is read only", ftruncate(open("size", O_RDONLY), 0), EINVAL);
	FAILS("truncate of what is the host's", truncate("/usr/bin/env", 0), boxed ? EROFS : EACCES);
	close(fd);

	fd = open("sparse", O_RDWR | O_CREAT | O_TRUNC, 0644);
	NEED(pwrite(fd, "a", 1, 0) == 1 && pwrite(fd, "b", 1, 1 << 20) == 1 && ftruncate(fd, 1L << 30) == 0);
	IS("a sparse file takes what was written", (fstat(fd, &st), st.st_blocks), 16);
	IS("SEEK_HOLE", lseek(fd, 0, SEEK_HOLE), 4096);
	IS("SEEK_DATA", lseek(fd, 4096, SEEK_DATA), 1 << 20);
	IS("SEEK_HOLE in a hole", lseek(fd, 10000, SEEK_HOLE), 10000);
	IS("SEEK_DATA in data", lseek(fd, 10, SEEK_DATA), 10);
	FAILS("SEEK_DATA behind all", lseek(fd, (1 << 20) + 4096, SEEK_DATA), ENXIO);
	IS("SEEK_HOLE behind all", lseek(fd, (1 << 20) + 5000, SEEK_HOLE), (1 << 20) + 5000);
	FAILS("SEEK_HOLE at the end", lseek(fd, 1L << 30, SEEK_HOLE), ENXIO);
	FAILS("SEEK_DATA before the start", lseek(fd, -1, SEEK_DATA), ENXIO);
	IS("a hole reads as zeros", (pread(fd, text, 8, 1 << 19), memcmp(text, "\0\0\0\0\0\0\0\0", 8)), 0);

	NEED(ftruncate(fd, 0) == 0);
	IS("fallocate", fallocate(fd, 0, 0, 10000), 0);
	IS("grows the file", (fstat(fd, &st), st.st_size), 10000);
	IS("and takes room", st.st_blocks, 24);
	IS("fallocate beyond the end that keeps the size", fallocate(fd, FALLOC_FL_KEEP_SIZE, 8192, 12288), 0);
	IS("keeps it", (fstat(fd, &st), st.st_size), 10000);
	NEED(pwrite(fd, "xxxxxxxx", 8, 4094) == 8);
	IS("fallocate that punches a hole", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096), 0);
	IS("leaves what is before", (pread(fd, text, 8, 4094), memcmp(text, "xx\0\0\0\0\0\0", 8)), 0);
	NEED(fallocate(fd, 0, 0, 16 << 20) == 0);
	IS("fallocate of what is there already", fallocate(fd, 0, 0, 16 << 20), 0);
	NEED(ftruncate(fd, 10000) == 0);
	FAILS("a hole that changes the size", fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP);
	FAILS("fallocate of nothing", fallocate(fd, 0, 0, 0), EINVAL);
	FAILS("fallocate before the start", fallocate(fd, 0, -1, 10), EINVAL);
	FAILS("fallocate that collapses, which memory cannot", fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096),
	      EOPNOTSUPP);
	FAILS("fallocate of what is read only", fallocate(open("sparse", O_RDONLY), 0, 0, 10), EBADF);
	FAILS("fallocate of a pipe", fallocate(0, 0, 0, 10), boxed ? EBADF : EBADF);
	struct rlimit old, limit = {8192, RLIM_INFINITY};
	signal(SIGXFSZ, SIG_IGN);
	NEED(getrlimit(RLIMIT_FSIZE, &old) == 0);
	limit.rlim_max = old.rlim_max;
	NEED(setrlimit(RLIMIT_FSIZE, &limit) == 0 && ftruncate(fd, 0) == 0);
	IS("a write up to RLIMIT_FSIZE", pwrite(fd, text, 8, 8188), 4);
	FAILS("a write behind it", pwrite(fd, text, 8, 8192), EFBIG);
	FAILS("growing behind it", ftruncate(fd, 8193), EFBIG);
	NEED(setrlimit(RLIMIT_FSIZE, &old) == 0);
	close(fd);
}

static void times(void)
{
	struct stat before, after;
	struct timespec given[2] = {{1000, 5}, {2000, 7}};
	int fd = make_file("timed", "x");
	NEED(fstat(fd, &before) == 0);
	IS("utimensat", utimensat(AT_FDCWD, "timed", given, 0), 0);
	IS("sets both times",
	   (fstat(fd, &after), after.st_atim.tv_sec == 1000 && after.st_atim.tv_nsec == 5 &&
	                               after.st_mtim.tv_sec == 2000 && after.st_mtim.tv_nsec == 7),
	   1);
	given[0].tv_nsec = UTIME_OMIT, given[1].tv_nsec = UTIME_NOW;
	IS("futimens that leaves one and sets the other to now", futimens(fd, given), 0);
	IS("does so",
	   (fstat(fd, &after), after.st_atim.tv_sec == 1000 && after.st_mtim.tv_sec >= before.st_mtim.tv_sec), 1);
	given[1].tv_nsec = 1000000000;
	FAILS("no second has so many nanoseconds", futimens(fd, given), EINVAL);
	IS("utimensat of a link itself",
	   (symlink("timed", "tlink"), given[0].tv_nsec = 0, given[1].tv_nsec = 0,
	    utimensat(AT_FDCWD, "tlink", given, AT_SYMLINK_NOFOLLOW)),
	   0);
	IS("leaves the file", (fstat(fd, &after), after.st_mtim.tv_sec > 2000), 1);
	IS("utime", utime("timed", &(struct utimbuf){3000, 4000}), 0);
	IS("sets seconds", (fstat(fd, &after), after.st_mtim.tv_sec == 4000 && after.st_mtim.tv_nsec == 0), 1);
	IS("utimes", utimes("timed", (struct timeval[2]){{5000, 6}, {6000, 7}}), 0);
	IS("sets microseconds", (fstat(fd, &after), after.st_mtim.tv_sec == 6000 && after.st_mtim.tv_nsec == 7000), 1);
	IS("utimensat without times", utimensat(AT_FDCWD, "timed", NULL, 0), 0);
	IS("is now", (fstat(fd, &after), after.st_mtim.tv_sec >= before.st_mtim.tv_sec), 1);
	FAILS("utimensat of nothing", utimensat(AT_FDCWD, "nothing", NULL, 0), ENOENT);
	NEED(utimes("timed", (struct timeval[2]){{1, 0}, {1, 0}}) == 0);
	IS("a write sets the time of change", (write(fd, "y", 1), fstat(fd, &after), after.st_mtim.tv_sec > 1), 1);
	NEED(utimes(".", (struct timeval[2]){{1, 0}, {1, 0}}) == 0);
	IS("a new name sets its directory's",
	   (close(make_file("another", "")), stat(".", &after), after.st_mtim.tv_sec > 1), 1);
	if (boxed) /* the clock of the box */
		HOLDS("all of it in 2000", after.st_mtim.tv_sec / 86400 == 946684800 / 86400);
	close(fd);
}

static void working_directory(void)
{
	char text[PATH_MAX], *base = getcwd(NULL, 0);
	NEED(mkdir("w", 0755) == 0 && chdir("w") == 0 && mkdir("gone", 0755) == 0);
	HOLDS("getcwd",
	      getcwd(text, sizeof text) && !strncmp(text, base, strlen(base)) && !strcmp(text + strlen(base), "/w"));
	FAILS("getcwd into too little", syscall(SYS_getcwd, text, 4), ERANGE);
	IS("the directory may be renamed", rename("../w", "../v"), 0);
	HOLDS("and getcwd follows", getcwd(text, sizeof text) && !strcmp(text + strlen(base), "/v"));
	NEED(chdir("gone") == 0 && rmdir("../gone") == 0);
	FAILS("getcwd of what is gone", syscall(SYS_getcwd, text, sizeof text), ENOENT);
	FAILS("nothing can be made there", open("x", O_CREAT | O_WRONLY, 0644), ENOENT);
	NEED(chdir(base) == 0);
	int fd = open(base, O_RDONLY);
	IS("fchdir", fchdir(fd), 0);
	FAILS("fchdir to a file", fchdir(open("timed", O_RDONLY)), ENOTDIR);
	FAILS("chdir to a file", chdir("timed"), ENOTDIR);
	FAILS("chdir to nothing", chdir("nothing"), ENOENT);
	close(fd);
}

/* What was read of a directory before is no matter: every name once. */
static void many_names(void)
{
	enum { COUNT = 100000 };
	char name[32];
	struct stat st;
	bool fine = mkdir("many", 0755) == 0 && chdir("many") == 0;
	for (int i = 0; i < COUNT && fine; i++) {
		snprintf(name, sizeof name, "%07d", i * 7 % COUNT);
		fine = mknod(name, S_IFREG | 0644, 0) == 0;
	}
	HOLDS("100,000 names are made", fine);
	int seen = 0;
	DIR *directory = opendir(".");
	struct dirent *e;
	while ((e = readdir(directory)))
		seen += e->d_name[0] != '.';
	closedir(directory);
	IS("and listed", seen, COUNT);
	for (int i = 0; i < COUNT && fine; i += 1000) {
		snprintf(name, sizeof name, "%07d", i);
		fine = stat(name, &st) == 0;
	}
	HOLDS("and found", fine);
	FAILS("and none besides", stat("x", &st), ENOENT);
	for (int i = 0; i < COUNT && fine; i++) {
		snprintf(name, sizeof name, "%07d", i);
		fine = unlink(name) == 0;
	}
	HOLDS("and removed", fine);
	IS("then it is empty", (chdir(".."), rmdir("many")), 0);
}

/* How many bytes go into a file until there is no more room. */
static long fill(const char *name)
{
	static char block[1 << 20];
	memset(block, 'x', sizeof block);
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	long sum = 0, n;
	while ((n = write(fd, block, sizeof block)) > 0)
		sum += n;
	int error = errno;
	close(fd);
	errno = error;
	return sum;
}

/* The limit of a box is no limit of the machine's, so only there. */
static void room(void)
{
	struct statvfs before, after;
	NEED(statvfs(".", &before) == 0);
	long first = fill("full");
	int error = errno;
	IS("a full file system says so", error, ENOSPC);
	HOLDS("at what its limit is", first > 8 << 20 && first < 64 << 20);
	FAILS("and takes no more", write(open("more", O_CREAT | O_WRONLY, 0644), "x", 1), ENOSPC);
	FAILS("nor does memory", mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	      ENOMEM);
	FAILS("fallocate of more than there is", fallocate(open("more", O_WRONLY), 0, 0, 1 << 20), ENOSPC);
	IS("unlink gives it back", unlink("full"), 0);
	unlink("more");
	IS("to the byte", fill("full"), first);
	IS("again and again", (unlink("full"), fill("full")), first);
	unlink("full");
	unlink("more");
	NEED(statvfs(".", &after) == 0);
	IS("and so tells statfs", after.f_bfree - before.f_bfree, 0);
	int fd = open("held", O_RDWR | O_CREAT, 0644);
	NEED(ftruncate(fd, 4 << 20) == 0);
	char *map = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	NEED(map != MAP_FAILED);
	memset(map, 1, 4 << 20);
	close(fd);
	unlink("held");
	HOLDS("what is still mapped is not given back", fill("full") < first - (3 << 20));
	munmap(map, 4 << 20);
	unlink("full");
	HOLDS("until it is not", fill("full") >= first - 8192);
	unlink("full");
}

int main(void)
{
	begin();
	creating();
	renaming();
	linking();
	permissions();
	sizes();
	times();
	working_directory();
	many_names();
	if (boxed)
		room();
	return end();
}
