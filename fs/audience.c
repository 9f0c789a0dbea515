#include "audience.h"
#include <limits.h>
#include <stdbool.h>
#include <string.h>

void zvm_audience_narrow(struct zvm_audience *audience, const struct stat *file, mode_t any)
{
	bool owner = file->st_mode & any << 6, group = file->st_mode & any << 3, other = file->st_mode & any;
	bool same_owner = file->st_uid == audience->uid, same_group = file->st_gid == audience->gid;
	mode_t mode = 0;
	/* Who is not the owner here may be it there; the same for groups. */
	if (same_owner ? owner : group && other)
		mode |= S_IRUSR;
	if ((same_owner || owner) && group && (same_group || other))
		mode |= S_IRGRP;
	if ((same_owner || owner) && (same_group || group) && other)
		mode |= S_IROTH;
	audience->mode &= mode;
}

void zvm_audience_narrow_way(struct zvm_audience *audience, const char *path, mode_t any)
{
	char way[PATH_MAX];
	struct stat st;
	if (*path != '/' || strlen(path) >= sizeof way) {
		audience->mode = 0;
		return;
	}
	strcpy(way, path);
	for (char *at = way; audience->mode && (at = strchr(at + 1, '/'));) {
		*at = 0;
		if (stat(way, &st) < 0)
			audience->mode = 0;
		else
			zvm_audience_narrow(audience, &st, S_IXOTH);
		*at = '/';
	}
	if (audience->mode && stat(path, &st) < 0)
		audience->mode = 0;
	else if (audience->mode)
		zvm_audience_narrow(audience, &st, any);
}
