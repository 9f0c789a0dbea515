/*
 * Who may read a result: whoever could have read everything that went into it.
 *
 *   struct zvm_audience a = zvm_audience_begin(&input);      // the file shown has the input's owner and group
 *   zvm_audience_narrow(&a, &script, S_IROTH | S_IXOTH);     // by each file that counts
 *   zvm_audience_narrow_way(&a, "/srv/scripts/words.txt", S_IROTH);   // and what one has to go through
 *   mode = a.mode;                                           // S_IR* bits for the file shown
 *
 * The three classes of the file shown need not be those of the other files: its owner may be a mere other to a script.
 * A class keeps its bit only if every user who can be in it could read. So who is let in could have done it himself;
 * who is kept out perhaps could, too (by a group of a file that is not the input's).
 */
#ifndef ZVM_FS_AUDIENCE_H
#define ZVM_FS_AUDIENCE_H

#include <sys/stat.h>

struct zvm_audience {
	uid_t uid;
	gid_t gid;
	mode_t mode;
};

static inline struct zvm_audience zvm_audience_begin(const struct stat *input)
{
	return (struct zvm_audience){input->st_uid, input->st_gid, input->st_mode & 0444};
}

/* `any`: bits of the class of others, of which one is enough: S_IROTH, S_IXOTH. */
void zvm_audience_narrow(struct zvm_audience *audience, const struct stat *file, mode_t any);
/* By every directory on the way, and by what is at its end. What is not there any more nobody could read. */
void zvm_audience_narrow_way(struct zvm_audience *audience, const char *path, mode_t any);

#endif
