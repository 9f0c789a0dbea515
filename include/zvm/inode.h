/*
 * Inodes: what the kernel holds references to.
 *
 * A file's inode is bound to at most one result, the first that was found or computed through it, and keeps it: whoever
 * has the file open goes on reading those bytes. When that is no longer the answer, the inode is detached from its
 * name, and the next lookup makes a new one.
 *
 *   struct zvm_inode *inode = zvm_inode_get(table, ZVM_INODE_FILE, tree, spec, path);   // +1 lookup, found or new
 *   zvm_inode_bind(table, inode, result, &is_new);
 *   zvm_inode_detach(table, inode);
 *   zvm_inode_forget(table, inode, n);                                                   // -n lookups; freed at 0
 *
 * The inode number shown is a hash of the name and a nonce: the bound result's, or one picked at random that the result
 * computed through this inode will be given. So it is the same before and after computing, and after a remount.
 * Thread-safe; an inode is valid while the caller holds a lookup of it, as the kernel does for every file that is open.
 */
#ifndef ZVM_INODE_H
#define ZVM_INODE_H

#include <stdint.h>
#include <zvm/engine.h>
#include <zvm/name.h>

enum zvm_inode_kind {
	ZVM_INODE_ROOT = 1,
	ZVM_INODE_README,
	ZVM_INODE_STATS,
	ZVM_INODE_TREE,
	ZVM_INODE_DIRECTORY,
	ZVM_INODE_FILE,
	ZVM_INODE_CAS,
	ZVM_INODE_OBJECT,
	ZVM_INODE_RUNNING
};
enum zvm_tree { ZVM_TREE_RUN, ZVM_TREE_ERR, ZVM_TREE_INFO, ZVM_TREE_STREAM, ZVM_TREE_COUNT };

struct zvm_inode {
	enum zvm_inode_kind kind;
	enum zvm_tree tree;
	struct zvm_spec *spec; /* DIRECTORY (of a spec) and FILE */
	char *path;            /* FILE, DIRECTORY: of the input; OBJECT: the digest */
	uint64_t generation, nonce, number;
	/* the table's own */
	struct zvm_result *result; /* read with zvm_inode_result */
	uint64_t lookups;
	void *named; /* its entry in the table of names; NULL: detached */
};

struct zvm_inodes;

int zvm_inodes_open(struct zvm_inodes **ret);
void zvm_inodes_close(struct zvm_inodes *inodes);

/* spec_text "" where there is none. NULL: no memory, or the spec does not parse (which the caller has checked). */
struct zvm_inode *zvm_inode_get(struct zvm_inodes *inodes, enum zvm_inode_kind kind, enum zvm_tree tree,
                                const char *spec_text, const char *path);
void zvm_inode_forget(struct zvm_inodes *inodes, struct zvm_inode *inode, uint64_t lookups);

/* A reference to the bound result's summary (engine.h), or NULL. */
struct zvm_result *zvm_inode_result(struct zvm_inodes *inodes, struct zvm_inode *inode);
/*
 * 0: bound now, or already to the same or one of the same bytes (what that stands on is taken from `result`, which is
 * newer); -ESTALE: to another, and now detached. *ret_new: this call bound it.
 */
int zvm_inode_bind(struct zvm_inodes *inodes, struct zvm_inode *inode, struct zvm_result *result, bool *ret_new);
void zvm_inode_detach(struct zvm_inodes *inodes, struct zvm_inode *inode);

#endif
