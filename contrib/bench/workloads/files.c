/* Bound by system calls: makes 5,000 small files in a directory of its own, then lists and stats them all. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT 5000

static int make_files(void)
{
	for (int i = 0; i < COUNT; i++) {
		char name[32], text[32];
		int size = snprintf(text, sizeof text, "number %d\n", i);
		snprintf(name, sizeof name, "file-%04d", i);
		int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, text, (size_t)size) != size || close(fd) < 0)
			return -1;
	}
	return 0;
}

static int list_files(void)
{
	unsigned count = 0;
	long long size = 0;
	struct dirent *entry;
	DIR *directory = opendir(".");
	while (directory && (entry = readdir(directory))) {
		struct stat st;
		if (lstat(entry->d_name, &st) < 0)
			return -1;
		if (S_ISREG(st.st_mode)) {
			count++;
			size += st.st_size;
		}
	}
	if (directory)
		closedir(directory);
	printf("%u files, %lld bytes\n", count, size);
	return 0;
}

int main(void)
{
	char path[4096];
	const char *tmp = getenv("TMPDIR");
	snprintf(path, sizeof path, "%s/files.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(path) || chdir(path) < 0 || make_files() < 0 || list_files() < 0) {
		perror("files");
		return 1;
	}
	return 0;
}
