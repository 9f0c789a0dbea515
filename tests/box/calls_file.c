/* Files: stat in all its forms, listing, reading and writing, copying between descriptors, descriptors themselves. */
#include "calls.h"
#include <dirent.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <termios.h>

static void stating(void)
{
	struct stat st, other;
	struct statx x;
	int fd = make_file("stat", "twelve bytes");
	NEED(symlink("stat", "link") == 0);
	IS("stat", stat("stat", &st), 0);
	HOLDS("stat tells a regular file of 12 bytes with one link and mode 644",
	      S_ISREG(st.st_mode) && st.st_size == 12 && st.st_nlink == 1 && (st.st_mode & 07777) == 0644);
	HOLDS("stat tells the owner", st.st_uid == getuid() && st.st_gid == getgid());
	HOLDS("stat counts blocks of 512 bytes", st.st_blocks == 8 && st.st_blksize == 4096);
	IS("fstat", fstat(fd, &other), 0);
	HOLDS("fstat tells the same as stat", !memcmp(&st, &other, sizeof st));
	IS("lstat", lstat("link", &other), 0);
	HOLDS("lstat tells the link itself", S_ISLNK(other.st_mode) && other.st_size == 4 && other.st_ino != st.st_ino);
	IS("stat follows a link", stat("link", &other), 0);
	HOLDS("stat of a link is that of its target", !memcmp(&st, &other, sizeof st));
	IS("newfstatat without following", fstatat(AT_FDCWD, "link", &other, AT_SYMLINK_NOFOLLOW), 0);
	HOLDS("newfstatat without following tells the link", S_ISLNK(other.st_mode));
	IS("newfstatat of nothing", fstatat(fd, "", &other, AT_EMPTY_PATH), 0);
	HOLDS("newfstatat of nothing tells the descriptor", !memcmp(&st, &other, sizeof st));
	IS("newfstatat of nothing at the working directory", fstatat(AT_FDCWD, "", &other, AT_EMPTY_PATH), 0);
	HOLDS("which is a directory", S_ISDIR(other.st_mode));
	FAILS("newfstatat of an empty name", fstatat(AT_FDCWD, "", &other, 0), ENOENT);
	FAILS("newfstatat with an unknown flag", fstatat(AT_FDCWD, "stat", &other, 1 << 30), EINVAL);
	FAILS("newfstatat at a closed descriptor", fstatat(999, "stat", &other, 0), EBADF);
	FAILS("newfstatat at a file", fstatat(fd, "stat", &other, 0), ENOTDIR);
	IS("an absolute name needs no descriptor", fstatat(999, "/", &other, 0), 0);
	FAILS("stat below a file", stat("stat/x", &other), ENOTDIR);
	FAILS("stat of a file with a slash behind it", stat("stat/", &other), ENOTDIR);
	FAILS("stat of what is not there", stat("nothing", &other), ENOENT);
	FAILS("fstat of a closed descriptor", fstat(999, &other), EBADF);
	char longer[NAME_MAX + 2];
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = 0;
	FAILS("stat of a name of 256 bytes", stat(longer, &other), ENAMETOOLONG);
	longer[NAME_MAX] = 0;
	FAILS("stat of a name of 255 bytes", stat(longer, &other), ENOENT);

	IS("statx", statx(AT_FDCWD, "link", 0, STATX_BASIC_STATS, &x), 0);
	HOLDS("statx tells what stat tells", x.stx_size == 12 && x.stx_ino == st.st_ino && x.stx_mode == st.st_mode &&
	                                             x.stx_nlink == 1 &&
	                                             makedev(x.stx_dev_major, x.stx_dev_minor) == st.st_dev &&
	                                             x.stx_mtime.tv_sec == st.st_mtime && x.stx_blocks == 8);
	HOLDS("statx says which fields are filled in", (x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
	IS("statx of nothing", statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &x), 0);
	IS("statx without following", statx(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x), 0);
	HOLDS("statx without following tells the link", S_ISLNK(x.stx_mode));
	FAILS("statx with both ways to synchronise", statx(AT_FDCWD, "stat", AT_STATX_SYNC_TYPE, STATX_SIZE, &x),
	      EINVAL);
	FAILS("statx with an unknown flag", statx(AT_FDCWD, "stat", 1 << 30, STATX_SIZE, &x), EINVAL);
	FAILS("statx with the reserved mask", statx(AT_FDCWD, "stat", 0, STATX__RESERVED, &x), EINVAL);
	FAILS("statx of what is not there", statx(AT_FDCWD, "nothing", 0, STATX_SIZE, &x), ENOENT);
	IS("stat of /dev/null", stat("/dev/null", &other), 0);
	HOLDS("which is the character device 1:3", S_ISCHR(other.st_mode) && other.st_rdev == makedev(1, 3));
	struct statfs fs;
	IS("statfs", statfs(".", &fs), 0);
	HOLDS("statfs tells a file system in memory",
	      fs.f_type == 0x01021994 && fs.f_bsize == 4096 && fs.f_namelen == 255);
	IS("fstatfs", fstatfs(fd, &fs), 0);
	close(fd);
}

static void links_and_access(void)
{
	char text[64];
	int directory = open(".", O_RDONLY | O_DIRECTORY), link = open("link", O_PATH | O_NOFOLLOW),
	    fd = open("stat", O_RDONLY);
	IS("readlink", readlink("link", text, sizeof text), 4);
	IS("readlink into a short buffer", readlink("link", text, 2), 2);
	FAILS("readlink into no buffer", readlink("link", text, 0), EINVAL);
	FAILS("readlink of a file", readlink("stat", text, sizeof text), EINVAL);
	FAILS("readlink of what is not there", readlink("nothing", text, sizeof text), ENOENT);
	IS("readlinkat", readlinkat(directory, "link", text, sizeof text), 4);
	IS("readlinkat of nothing at a link", readlinkat(link, "", text, sizeof text), 4);
	FAILS("readlinkat of nothing at a file", readlinkat(fd, "", text, sizeof text), ENOENT);
	FAILS("readlinkat at a closed descriptor", readlinkat(999, "link", text, sizeof text), EBADF);
	IS("access to a file", access("stat", R_OK | W_OK), 0);
	FAILS("access to execute it", access("stat", X_OK), EACCES);
	FAILS("access in an unknown way", access("stat", 8), EINVAL);
	FAILS("access to what is not there", access("nothing", F_OK), ENOENT);
	IS("faccessat2 of nothing", syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH), 0);
	IS("faccessat2 without following", syscall(SYS_faccessat2, AT_FDCWD, "link", F_OK, AT_SYMLINK_NOFOLLOW), 0);
	IS("faccessat2 by the effective user", syscall(SYS_faccessat2, AT_FDCWD, "stat", W_OK, AT_EACCESS), 0);
	FAILS("faccessat2 with an unknown flag", syscall(SYS_faccessat2, AT_FDCWD, "stat", R_OK, 1), EINVAL);
	FAILS("writing what is the host's", access("/usr", W_OK), boxed ? EROFS : EACCES);
	close(link);
	close(fd);
	close(directory);
}

struct listing_entry {
	uint64_t inode;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

/* Lists with a buffer of `room` bytes; the number of entries, or -1. */
static int count_names(int fd, size_t room)
{
	static char buffer[65536];
	int count = 0;
	for (;;) {
		long n = syscall(SYS_getdents64, fd, buffer, room);
		if (n <= 0)
			return n ? -1 : count;
		for (long at = 0; at < n; count++)
			at += ((struct listing_entry *)(buffer + at))->size;
	}
}

static void listing(void)
{
	char buffer[4096];
	NEED(mkdir("list", 0755) == 0);
	for (int i = 0; i < 200; i++) {
		char name[64];
		snprintf(name, sizeof name, "list/name-%03d", i);
		close(open(name, O_CREAT | O_WRONLY, 0644));
	}
	NEED(mkdir("list/sub", 0755) == 0 && symlink("x", "list/sym") == 0);
	int fd = open("list", O_RDONLY | O_DIRECTORY);
	IS("all names are listed", count_names(fd, 65536), 204);
	IS("and then none", count_names(fd, 65536), 0);
	IS("lseek to the start", lseek(fd, 0, SEEK_SET), 0);
	IS("with a small buffer all names are listed too", count_names(fd, 64), 204);
	lseek(fd, 0, SEEK_SET);
	FAILS("a buffer too small for one name", syscall(SYS_getdents64, fd, buffer, 16), EINVAL);
	FAILS("read of a directory", read(fd, buffer, 16), EISDIR);
	FAILS("pread of a directory", pread(fd, buffer, 16, 0), EISDIR);
	FAILS("getdents64 of a closed descriptor", syscall(SYS_getdents64, 999, buffer, sizeof buffer), EBADF);
	int file = open("stat", O_RDONLY);
	FAILS("getdents64 of a file", syscall(SYS_getdents64, file, buffer, sizeof buffer), ENOTDIR);
	close(file);
	IS("the old getdents", syscall(SYS_getdents, fd, buffer, sizeof buffer) > 0, 1);
	close(fd);

	DIR *directory = opendir("list");
	struct dirent *e;
	bool types = true, seen_self = false;
	long where = -1;
	char after[256] = "";
	for (int i = 0; (e = readdir(directory)); i++) {
		seen_self |= !strcmp(e->d_name, ".");
		types &= e->d_type == (e->d_name[0] == '.' || !strcmp(e->d_name, "sub") ? DT_DIR
		                       : !strcmp(e->d_name, "sym")                      ? DT_LNK
		                                                                        : DT_REG);
		if (where >= 0 && !*after)
			strcpy(after, e->d_name);
		if (i == 100)
			where = telldir(directory);
	}
	HOLDS("readdir tells every type", types && seen_self);
	seekdir(directory, where);
	e = readdir(directory);
	HOLDS("seekdir finds its place again", e && !strcmp(e->d_name, after));
	NEED(unlink("list/name-000") == 0);
	close(open("list/new", O_CREAT | O_WRONLY, 0644));
	rewinddir(directory);
	bool new = false, old = false;
	while ((e = readdir(directory))) {
		new |= !strcmp(e->d_name, "new");
		old |= !strcmp(e->d_name, "name-000");
	}
	HOLDS("rewinddir shows what has been made and removed", new && !old);
	rewinddir(directory);
	int removed = 0;
	while ((e = readdir(directory)))
		if (!strncmp(e->d_name, "name", 4))
			removed += unlinkat(dirfd(directory), e->d_name, 0) == 0;
	IS("names may be removed while they are listed", removed, 199);
	closedir(directory);
	NEED(unlink("list/new") == 0 && unlink("list/sym") == 0 && rmdir("list/sub") == 0);
	fd = open("list", O_RDONLY | O_DIRECTORY);
	IS("rmdir of an empty one", rmdir("list"), 0);
	FAILS("a directory that is gone", syscall(SYS_getdents64, fd, buffer, sizeof buffer), ENOENT);
	close(fd);

	NEED(mkdir("empty", 0755) == 0);
	fd = open("empty", O_RDONLY | O_DIRECTORY);
	IS("a directory without names", count_names(fd, 4096), 2);
	close(open("empty/new", O_CREAT | O_WRONLY, 0644));
	IS("shows the first one when it is listed again", (lseek(fd, 0, SEEK_SET), count_names(fd, 4096)), 3);
	close(fd);
}

static void reading(void)
{
	char text[64] = "";
	int fd = make_file("bytes", "0123456789"), no_read = open("bytes", O_WRONLY),
	    no_write = open("bytes", O_RDONLY);
	IS("pread64", pread(fd, text, 4, 3), 4);
	HOLDS("pread64 reads there", !memcmp(text, "3456", 4));
	IS("pread64 leaves the offset", lseek(fd, 0, SEEK_CUR), 10);
	IS("pread64 at the end", pread(fd, text, 4, 10), 0);
	IS("pread64 far behind the end", pread(fd, text, 4, 1L << 40), 0);
	FAILS("pread64 before the start", pread(fd, text, 4, -1), EINVAL);
	FAILS("pread64 without permission", pread(no_read, text, 4, 0), EBADF);
	FAILS("read without permission", read(no_read, text, 4), EBADF);
	FAILS("write without permission", write(no_write, text, 4), EBADF);
	FAILS("pwrite64 without permission", pwrite(no_write, text, 4, 0), EBADF);
	FAILS("read of a closed descriptor", read(999, text, 1), EBADF);
	IS("a read of nothing", read(fd, text, 0), 0);
	IS("a write of nothing", write(fd, text, 0), 0);
	IS("pwrite64", pwrite(fd, "ab", 2, 4), 2);
	IS("a write behind the end", pwrite(fd, "z", 1, 20), 1);
	IS("makes zeros between", pread(fd, text, sizeof text, 0), 21);
	HOLDS("which are there", !memcmp(text, "0123ab6789\0\0\0\0\0\0\0\0\0\0z", 21));

	struct iovec parts[3] = {{text, 2}, {text + 10, 0}, {text + 20, 30}};
	lseek(fd, 0, SEEK_SET);
	IS("readv", readv(fd, parts, 3), 21);
	HOLDS("readv fills one part after the other", !memcmp(text, "01", 2) && !memcmp(text + 20, "23ab", 4));
	IS("preadv", preadv(fd, parts, 1, 4), 2);
	HOLDS("preadv reads there", !memcmp(text, "ab", 2));
	IS("preadv2 at the offset", preadv2(fd, parts, 1, 0, 0), 2);
	lseek(fd, 4, SEEK_SET);
	IS("preadv2 at -1 is readv", preadv2(fd, parts, 1, -1, 0), 2);
	IS("and moves the offset", lseek(fd, 0, SEEK_CUR), 6);
	FAILS("preadv2 before the start", preadv2(fd, parts, 1, -2, 0), EINVAL);
	FAILS("preadv2 with an unknown flag", preadv2(fd, parts, 1, 0, 1 << 20), EOPNOTSUPP);
	IS("preadv2 in haste", preadv2(fd, parts, 1, 0, RWF_HIPRI), 2);
	FAILS("readv with too many parts", readv(fd, parts, 1025), EINVAL);
	IS("readv with no part", readv(fd, parts, 0), 0);
	parts[0].iov_len = (size_t)-1;
	FAILS("readv with a negative part", readv(fd, parts, 1), EINVAL);
	struct iovec out[2] = {{"AB", 2}, {"CD", 2}};
	IS("pwritev2", pwritev2(fd, out, 2, 1, 0), 4);
	IS("pwritev2 asked to append", pwritev2(fd, out, 2, 0, RWF_APPEND), 4);
	IS("pwritev2 in synchrony", pwritev2(fd, out, 1, 0, RWF_DSYNC), 2);
	IS("pwritev2 at -1 is writev", (lseek(fd, 0, SEEK_END), pwritev2(fd, out, 2, -1, 0)), 4);
	IS("all of it is there", pread(fd, text, sizeof text, 0), 29);
	HOLDS("in its place", !memcmp(text, "ABBCDb6789", 10) && !memcmp(text + 20, "zABCDABCD", 9));

	IS("lseek from the end", lseek(fd, -1, SEEK_END), 28);
	IS("lseek from here", lseek(fd, -8, SEEK_CUR), 20);
	FAILS("lseek before the start", lseek(fd, -1, SEEK_SET), EINVAL);
	FAILS("lseek in an unknown way", lseek(fd, 0, 77), EINVAL);
	FAILS("lseek over the largest offset", lseek(fd, LONG_MAX, SEEK_END), EINVAL);
	IS("lseek behind the end", lseek(fd, 1000, SEEK_SET), 1000);
	IS("where nothing is to be read", read(fd, text, 1), 0);
	int pair[2];
	NEED(pipe(pair) == 0);
	FAILS("lseek of a pipe", lseek(pair[0], 0, SEEK_SET), ESPIPE);
	FAILS("pread64 of a pipe", pread(pair[0], text, 1, 0), ESPIPE);
	FAILS("pwrite64 of a pipe", pwrite(pair[1], text, 1, 0), ESPIPE);
	FAILS("read of a pipe's writing end", read(pair[1], text, 1), EBADF);
	FAILS("write to a pipe's reading end", write(pair[0], text, 1), EBADF);
	close(pair[0]);
	close(pair[1]);

	int append = open("bytes", O_RDWR | O_APPEND | O_TRUNC);
	IS("O_TRUNC empties", lseek(append, 0, SEEK_END), 0);
	NEED(write(append, "xyz", 3) == 3);
	lseek(append, 0, SEEK_SET);
	IS("O_APPEND writes at the end", write(append, "!", 1), 1);
	IS("and moves the offset there", lseek(append, 0, SEEK_CUR), 4);
	IS("pwrite64 with O_APPEND writes at the end, too", pwrite(append, "?", 1, 0), 1);
	IS("where its offset does not go", lseek(append, 0, SEEK_CUR), 4);
	HOLDS("so that is what is there", file_is("bytes", "xyz!?"));
	IS("O_APPEND may be taken away", fcntl(append, F_SETFL, 0), 0);
	IS("and then it writes where it is", pwrite(append, "X", 1, 0), 1);
	HOLDS("there", file_is("bytes", "Xyz!?"));
	close(append);
	close(fd);
	close(no_read);
	close(no_write);
}

static void copying(void)
{
	char text[64];
	off_t in, out;
	int from = make_file("from", "0123456789"), to = open("to", O_RDWR | O_CREAT | O_TRUNC, 0644), pair[2];
	NEED(pipe(pair) == 0);
	in = 2;
	IS("sendfile from an offset", sendfile(to, from, &in, 4), 4);
	IS("which it moves", in, 6);
	IS("leaving the file's own", lseek(from, 0, SEEK_CUR), 10);
	lseek(from, 8, SEEK_SET);
	IS("sendfile from where the file is", sendfile(to, from, NULL, 100), 2);
	IS("sendfile at the end", sendfile(to, from, NULL, 100), 0);
	HOLDS("sendfile copies", file_is("to", "234589"));
	IS("sendfile into a pipe", (in = 0, sendfile(pair[1], from, &in, 3)), 3);
	IS("which gives it back", read(pair[0], text, sizeof text), 3);
	FAILS("sendfile from a pipe", sendfile(to, pair[0], NULL, 1), EINVAL);
	in = -1;
	FAILS("sendfile from before the start", sendfile(to, from, &in, 1), EINVAL);
	FAILS("sendfile from what is for writing only", sendfile(to, pair[1], NULL, 1), EBADF);
	FAILS("sendfile into what is for reading only", sendfile(pair[0], from, NULL, 1), EBADF);

	in = 0, out = 1;
	NEED(ftruncate(to, 0) == 0);
	IS("copy_file_range", copy_file_range(from, &in, to, &out, 5, 0), 5);
	HOLDS("which moves both offsets", in == 5 && out == 6);
	IS("copy_file_range at the end", (in = 10, copy_file_range(from, &in, to, &out, 5, 0)), 0);
	IS("copy_file_range over the end", (in = 8, copy_file_range(from, &in, to, &out, 50, 0)), 2);
	FAILS("copy_file_range over itself", (in = 0, out = 2, copy_file_range(from, &in, from, &out, 5, 0)), EINVAL);
	FAILS("copy_file_range with flags", copy_file_range(from, &in, to, &out, 5, 2), EINVAL);
	FAILS("copy_file_range from a pipe", copy_file_range(pair[0], NULL, to, NULL, 5, 0), EINVAL);
	int directory = open(".", O_RDONLY), append = open("to", O_WRONLY | O_APPEND);
	FAILS("copy_file_range from a directory", copy_file_range(directory, NULL, to, NULL, 5, 0), EISDIR);
	FAILS("copy_file_range onto the end", copy_file_range(from, &in, append, NULL, 5, 0), EBADF);
	close(directory);
	close(append);

	in = 1;
	IS("splice from a file into a pipe", splice(from, &in, pair[1], NULL, 4, 0), 4);
	IS("which moves the offset", in, 5);
	int second[2];
	NEED(pipe(second) == 0);
	IS("tee", tee(pair[0], second[1], 100, 0), 4);
	IS("what tee has copied", read(second[0], text, sizeof text), 4);
	HOLDS("is the same", !memcmp(text, "1234", 4));
	IS("and still in the first pipe", (ioctl(pair[0], FIONREAD, &text[32]), *(int *)&text[32]), 4);
	IS("splice from a pipe into a file", (out = 0, splice(pair[0], NULL, to, &out, 100, 0)), 4);
	IS("splice from a pipe into a pipe", (write(pair[1], "abc", 3), splice(pair[0], NULL, second[1], NULL, 2, 0)),
	   2);
	IS("moves what was asked for", (ioctl(pair[0], FIONREAD, &text[32]), *(int *)&text[32]), 1);
	NEED(read(pair[0], text, 1) == 1 && read(second[0], text, 2) == 2);
	FAILS("splice from an empty pipe without waiting", splice(pair[0], NULL, to, NULL, 1, SPLICE_F_NONBLOCK),
	      EAGAIN);
	FAILS("splice without a pipe", splice(from, NULL, to, NULL, 1, 0), EINVAL);
	FAILS("splice with an offset for a pipe", splice(pair[0], &in, to, NULL, 1, 0), ESPIPE);
	FAILS("splice from a pipe into itself", splice(pair[0], NULL, pair[1], NULL, 1, 0), EINVAL);
	FAILS("splice with an unknown flag", splice(from, NULL, pair[1], NULL, 1, 64), EINVAL);
	IS("splice of nothing", splice(from, NULL, pair[1], NULL, 0, 0), 0);
	FAILS("tee from an empty pipe without waiting", tee(pair[0], second[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
	FAILS("tee into a file", tee(pair[0], to, 1, 0), EINVAL);
	FAILS("tee into itself", tee(pair[0], pair[1], 1, 0), EINVAL);
	struct iovec part[2] = {{"ab", 2}, {"cde", 3}};
	IS("vmsplice", vmsplice(pair[1], part, 2, 0), 5);
	part[0] = (struct iovec){text, 64};
	IS("vmsplice the other way", vmsplice(pair[0], part, 1, 0), 5);
	HOLDS("gives what went in", !memcmp(text, "abcde", 5));
	FAILS("vmsplice of a file", vmsplice(from, part, 1, 0), EBADF);
	FAILS("vmsplice with an unknown flag", vmsplice(pair[1], part, 1, 64), EINVAL);
	close(pair[1]);
	IS("splice from a pipe that nobody writes", splice(pair[0], NULL, to, NULL, 1, 0), 0);
	close(pair[0]);
	close(second[0]);
	close(second[1]);
	close(from);
	close(to);
}

static void opening(void)
{
	char text[8];
	struct open_how how = {.flags = O_RDONLY};
	int directory = open(".", O_RDONLY | O_DIRECTORY), fd;
	IS("openat2", (fd = (int)syscall(SYS_openat2, directory, "from", &how, sizeof how)) >= 0, 1);
	close(fd);
	FAILS("openat2 with a short structure", syscall(SYS_openat2, directory, "from", &how, 8), EINVAL);
	struct {
		struct open_how how;
		uint64_t more;
	} longer = {how, 0};
	IS("openat2 with a longer one that is zero there",
	   (fd = (int)syscall(SYS_openat2, directory, "from", &longer, sizeof longer)) >= 0, 1);
	close(fd);
	longer.more = 1;
	FAILS("openat2 with a longer one that is not", syscall(SYS_openat2, directory, "from", &longer, sizeof longer),
	      E2BIG);
	how.flags = 1ull << 40;
	FAILS("openat2 with an unknown flag", syscall(SYS_openat2, directory, "from", &how, sizeof how), EINVAL);
	how = (struct open_how){.flags = O_RDONLY, .mode = 0600};
	FAILS("openat2 with a mode but nothing to create", syscall(SYS_openat2, directory, "from", &how, sizeof how),
	      EINVAL);
	how = (struct open_how){.flags = O_RDONLY, .resolve = 1ull << 20};
	FAILS("openat2 with an unknown way to resolve", syscall(SYS_openat2, directory, "from", &how, sizeof how),
	      EINVAL);
	how.resolve = RESOLVE_BENEATH;
	IS("openat2 beneath", (fd = (int)syscall(SYS_openat2, directory, "from", &how, sizeof how)) >= 0, 1);
	close(fd);
	FAILS("openat2 beneath, and out", syscall(SYS_openat2, directory, "../x", &how, sizeof how), EXDEV);
	FAILS("openat2 beneath, from the root", syscall(SYS_openat2, directory, "/tmp", &how, sizeof how), EXDEV);
	NEED(mkdir("deep", 0755) == 0 && symlink("../from", "deep/back") == 0 && symlink("/usr", "away") == 0);
	IS("openat2 beneath, by a link that stays",
	   (fd = (int)syscall(SYS_openat2, directory, "deep/back", &how, sizeof how)) >= 0, 1);
	close(fd);
	FAILS("openat2 beneath, by a link that leaves", syscall(SYS_openat2, directory, "away/bin", &how, sizeof how),
	      EXDEV);
	how.resolve = RESOLVE_NO_SYMLINKS;
	FAILS("openat2 without links", syscall(SYS_openat2, directory, "deep/back", &how, sizeof how), ELOOP);
	how.resolve = RESOLVE_IN_ROOT;
	IS("openat2 in a root", (fd = (int)syscall(SYS_openat2, directory, "/deep/../../from", &how, sizeof how)) >= 0,
	   1);
	close(fd);
	how.resolve = RESOLVE_NO_MAGICLINKS;
	IS("openat2 without magic links", (fd = (int)syscall(SYS_openat2, directory, "from", &how, sizeof how)) >= 0,
	   1);
	close(fd);

	FAILS("a file as a directory", open("from", O_RDONLY | O_DIRECTORY), ENOTDIR);
	FAILS("a directory for writing", open(".", O_WRONLY), EISDIR);
	FAILS("a link without following", open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
	FAILS("what is there, exclusively", open("from", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
	FAILS("what is not there", open("nothing", O_RDONLY), ENOENT);
	FAILS("an empty name", open("", O_RDONLY), ENOENT);
	FAILS("creating a directory so", open("deep/", O_CREAT | O_WRONLY, 0644), EISDIR);
	FAILS("creating with a slash behind", open("new/", O_CREAT | O_WRONLY, 0644), EISDIR);
	FAILS("creating where no directory is", open("nothing/x", O_CREAT | O_WRONLY, 0644), ENOENT);
	IS("an old kernel's flags are not minded",
	   (fd = open("from", O_RDONLY | O_LARGEFILE | O_NOCTTY | 1 << 30)) >= 0, 1);
	close(fd);

	fd = open("from", O_PATH);
	FAILS("read through O_PATH", read(fd, text, 1), EBADF);
	FAILS("fchmod through O_PATH", fchmod(fd, 0600), EBADF);
	FAILS("ioctl through O_PATH", ioctl(fd, FIONREAD, text), EBADF);
	IS("O_PATH tells of itself", fcntl(fd, F_GETFL) & O_PATH, O_PATH);
	char again[64];
	snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
	int second = open(again, O_RDONLY);
	IS("and can be opened through /proc", read(second, text, 1), 1);
	close(second);
	second = open(again, O_PATH | O_NOFOLLOW);
	NEED(second >= 0 && dup2(second, fd) == fd);
	FAILS("a link of /proc that leads to itself", open(again, O_RDONLY), ELOOP);
	close(second);
	IS("is but a place", (second = open(again, O_PATH)) >= 0, 1);
	close(second);
	close(fd);
	close(directory);
}

static void descriptors(void)
{
	int fd = open("from", O_RDWR | O_CLOEXEC), other, value, pair[2];
	IS("F_GETFD", fcntl(fd, F_GETFD), FD_CLOEXEC);
	IS("F_SETFD", fcntl(fd, F_SETFD, 0), 0);
	IS("F_GETFD again", fcntl(fd, F_GETFD), 0);
	IS("F_DUPFD from 100 on", (other = fcntl(fd, F_DUPFD, 100)), 100);
	IS("the same open file", (lseek(fd, 5, SEEK_SET), lseek(other, 0, SEEK_CUR)), 5);
	IS("F_DUPFD_CLOEXEC", fcntl(fcntl(fd, F_DUPFD_CLOEXEC, 100), F_GETFD), FD_CLOEXEC);
	FAILS("F_DUPFD over the limit", fcntl(fd, F_DUPFD, 1 << 24), EINVAL);
	FAILS("an unknown command", fcntl(fd, 9999), EINVAL);
	FAILS("fcntl of a closed descriptor", fcntl(999, F_GETFD), EBADF);
	IS("F_GETFL", fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR);
	IS("F_SETFL", fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK), 0);
	IS("F_GETFL of a duplicate", fcntl(other, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK),
	   O_RDWR | O_APPEND | O_NONBLOCK);
	IS("F_SETFL cannot change the way of access", (fcntl(fd, F_SETFL, O_WRONLY), fcntl(fd, F_GETFL) & O_ACCMODE),
	   O_RDWR);
	IS("dup2", dup2(fd, 50), 50);
	IS("dup2 onto itself", dup2(fd, fd), fd);
	FAILS("dup2 of a closed one onto itself", dup2(999, 999), EBADF);
	FAILS("dup3 onto itself", dup3(fd, fd, 0), EINVAL);
	FAILS("dup3 with an unknown flag", dup3(fd, 51, 1), EINVAL);
	IS("dup3", (dup3(fd, 51, O_CLOEXEC), fcntl(51, F_GETFD)), FD_CLOEXEC);
	FAILS("dup2 to a negative one", dup2(fd, -1), EBADF);
	FAILS("dup of a closed one", dup(999), EBADF);
	IS("close_range", syscall(SYS_close_range, 50, 60, 0), 0);
	FAILS("has closed it", fcntl(50, F_GETFD), EBADF);
	IS("close_range to close on exec", syscall(SYS_close_range, 100, 100, 4), 0);
	IS("has marked it", fcntl(100, F_GETFD), FD_CLOEXEC);
	FAILS("close_range backwards", syscall(SYS_close_range, 60, 50, 0), EINVAL);
	FAILS("close_range with an unknown flag", syscall(SYS_close_range, 50, 60, 1), EINVAL);
	IS("close_range of all above", syscall(SYS_close_range, 90, ~0u, 0), 0);
	FAILS("close twice", (close(fd), close(fd)), EBADF);

	NEED(pipe2(pair, O_NONBLOCK | O_CLOEXEC) == 0);
	IS("pipe2 sets both flags", (fcntl(pair[0], F_GETFL) & O_NONBLOCK) && fcntl(pair[1], F_GETFD) == FD_CLOEXEC, 1);
	FAILS("pipe2 with an unknown flag", pipe2(pair, 1), EINVAL);
	IS("F_GETPIPE_SZ", fcntl(pair[0], F_GETPIPE_SZ), 65536);
	IS("F_SETPIPE_SZ to the same", fcntl(pair[0], F_SETPIPE_SZ, 65536), 65536);
	FAILS("F_GETPIPE_SZ of a file", fcntl(open("from", O_RDONLY), F_GETPIPE_SZ), EBADF);
	static char block[70000];
	IS("a pipe takes 64 KiB and no more", write(pair[1], block, sizeof block), 65536);
	FAILS("and then it is full", write(pair[1], block, 1), EAGAIN);
	IS("FIONREAD", (ioctl(pair[0], FIONREAD, &value), value), 65536);
	IS("a read gives what is asked for", read(pair[0], block, 4095), 4095);
	FAILS("a write of up to 4096 bytes goes in whole or not", write(pair[1], block, 4096), EAGAIN);
	IS("a read of more gives what there is", read(pair[0], block, sizeof block), 61441);
	FAILS("an empty one has nothing", read(pair[0], block, 1), EAGAIN);
	close(pair[1]);
	IS("and without a writer it is the end", read(pair[0], block, 1), 0);
	close(pair[0]);
	NEED(pipe(pair) == 0);
	signal(SIGPIPE, SIG_IGN);
	close(pair[0]);
	FAILS("a write for nobody", write(pair[1], block, 1), EPIPE);
	IS("a write of nothing for nobody", write(pair[1], block, 0), 0);
	close(pair[1]);
}

static void controls(void)
{
	struct termios terminal;
	struct winsize size;
	int value = -1, fd = open("from", O_RDONLY);
	FAILS("TCGETS of a file", ioctl(fd, TCGETS, &terminal), ENOTTY);
	FAILS("TIOCGWINSZ of a file", ioctl(fd, TIOCGWINSZ, &size), ENOTTY);
	FAILS("TCGETS of /dev/null", ioctl(open("/dev/null", O_RDWR), TCGETS, &terminal), ENOTTY);
	FAILS("isatty", (isatty(0) ? 0 : -1), ENOTTY);
	IS("FIONREAD of a file", (ioctl(fd, FIONREAD, &value), value), 10);
	IS("FIONBIO", (value = 1, ioctl(fd, FIONBIO, &value)), 0);
	IS("sets O_NONBLOCK", fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	IS("FIOCLEX", (ioctl(fd, FIOCLEX), fcntl(fd, F_GETFD)), FD_CLOEXEC);
	IS("FIONCLEX", (ioctl(fd, FIONCLEX), fcntl(fd, F_GETFD)), 0);
	FAILS("an unknown control", ioctl(fd, 0x12345678, &value), ENOTTY);
	FAILS("a control of a closed descriptor", ioctl(999, FIONREAD, &value), EBADF);
	close(fd);
}

static void locking(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
	int fd = open("from", O_RDWR), other = open("from", O_RDWR), reader = open("from", O_RDONLY);
	IS("F_SETLK", fcntl(fd, F_SETLK, &l), 0);
	IS("F_SETLK of one's own", fcntl(other, F_SETLK, &l), 0);
	FAILS("F_SETLK to write what is only read", fcntl(reader, F_SETLK, &l), EBADF);
	IS("F_GETLK", fcntl(other, F_GETLK, &l), 0);
	IS("sees none of one's own", l.l_type, F_UNLCK);
	l = (struct flock){.l_type = 7};
	FAILS("F_SETLK of an unknown type", fcntl(fd, F_SETLK, &l), EINVAL);
	l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = -1};
	FAILS("F_SETLK before the start", fcntl(fd, F_SETLK, &l), EINVAL);
	l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 20, .l_len = 5};
	IS("F_OFD_SETLK", fcntl(fd, F_OFD_SETLK, &l), 0);
	FAILS("F_OFD_SETLK against another open file", fcntl(other, F_OFD_SETLK, &l), EAGAIN);
	IS("F_OFD_GETLK", fcntl(other, F_OFD_GETLK, &l), 0);
	HOLDS("tells who is in the way", l.l_type == F_WRLCK && l.l_start == 20 && l.l_len == 5 && l.l_pid == -1);
	IS("flock shared", flock(fd, LOCK_SH), 0);
	IS("flock shared twice", flock(other, LOCK_SH | LOCK_NB), 0);
	FAILS("flock alone while another shares", flock(other, LOCK_EX | LOCK_NB), EAGAIN);
	IS("flock gives up", flock(fd, LOCK_UN), 0);
	IS("flock alone", flock(other, LOCK_EX | LOCK_NB), 0);
	FAILS("flock in an unknown way", flock(fd, 77), EINVAL);
	FAILS("flock of a closed descriptor", flock(999, LOCK_SH), EBADF);
	close(other);
	IS("closing gives up", flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	close(reader);
}

static void sealing(void)
{
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING | MFD_CLOEXEC), plain = memfd_create("plain", 0);
	IS("F_GET_SEALS", fcntl(fd, F_GET_SEALS), 0);
	IS("F_GET_SEALS without sealing", fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
	FAILS("F_ADD_SEALS without sealing", fcntl(plain, F_ADD_SEALS, F_SEAL_GROW), EPERM);
	NEED(ftruncate(fd, 8192) == 0);
	IS("F_ADD_SEALS", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
	FAILS("a file sealed against growing", ftruncate(fd, 8193), EPERM);
	FAILS("nor by writing", pwrite(fd, "x", 1, 8192), EPERM);
	FAILS("a file sealed against shrinking", ftruncate(fd, 8191), EPERM);
	IS("but it can be written", pwrite(fd, "x", 1, 0), 1);
	char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	FAILS("F_SEAL_WRITE while it is mapped", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	munmap(shared, 4096);
	IS("F_SEAL_WRITE afterwards", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	FAILS("a file sealed against writing", pwrite(fd, "x", 1, 0), EPERM);
	FAILS("or mapping for it", (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0),
	      EPERM);
	IS("F_SEAL_SEAL", fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
	FAILS("and no more after it", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
	FAILS("an unknown seal", fcntl(plain, F_ADD_SEALS, 1 << 20), EINVAL);
	FAILS("seals of a pipe", fcntl(0, F_GET_SEALS), EINVAL);
	FAILS("memfd_create with an unknown flag", memfd_create("x", 1 << 20), EINVAL);
	char name[300];
	memset(name, 'n', sizeof name);
	name[250] = 0;
	FAILS("memfd_create with a name of 250 bytes", memfd_create(name, 0), EINVAL);
	name[249] = 0;
	IS("memfd_create with one of 249", memfd_create(name, 0) >= 0, 1);
	char link[64], target[300];
	snprintf(link, sizeof link, "/proc/self/fd/%d", plain);
	ssize_t n = readlink(link, target, sizeof target - 1);
	target[n < 0 ? 0 : n] = 0;
	HOLDS("its name is in /proc", !strcmp(target, "/memfd:plain (deleted)"));
	struct stat st;
	IS("it has no links", (fstat(plain, &st), st.st_nlink), 0);
	close(fd);
	close(plain);

	fd = memfd_create("kept", MFD_ALLOW_SEALING);
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	NEED(write(fd, "x", 1) == 1);
	close(open(link, O_RDWR | O_TRUNC));
	IS("an open may empty a file", (fstat(fd, &st), st.st_size), 0);
	NEED(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	IS("also one that is sealed against shrinking, if it is empty", (plain = open(link, O_RDWR | O_TRUNC)) >= 0, 1);
	NEED(write(plain, "kept", 4) == 4);
	FAILS("but no other", open(link, O_RDWR | O_TRUNC), EPERM);
	IS("which keeps what it has", (fstat(fd, &st), st.st_size), 4);
	close(fd);
	close(plain);
}

int main(void)
{
	begin();
	stating();
	links_and_access();
	listing();
	reading();
	copying();
	opening();
	descriptors();
	controls();
	locking();
	sealing();
	return end();
}
