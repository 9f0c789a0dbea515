#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <uthash.h>
#include <xxhash.h>
#include <zvm/bytes.h>
#include <zvm/cleanup.h>
#include <zvm/inode.h>

/* Numbers below are fixed names'. */
#define FIRST_NUMBER 1024

struct named {
	UT_hash_handle hh;
	struct zvm_inode *inode;
	size_t key_size;
	unsigned char key[];
};

struct zvm_inodes {
	pthread_mutex_t lock; /* around names, results and lookup counts */
	struct named *names;
	uint64_t generation;
};

int zvm_inodes_open(struct zvm_inodes **ret)
{
	struct zvm_inodes *inodes = calloc(1, sizeof *inodes);
	if (!inodes)
		return -ENOMEM;
	pthread_mutex_init(&inodes->lock, NULL);
	*ret = inodes;
	return 0;
}

static void free_inode(struct zvm_inode *inode)
{
	zvm_spec_free(inode->spec);
	zvm_result_unref(inode->result);
	free(inode->path);
	free(inode);
}

void zvm_inodes_close(struct zvm_inodes *inodes)
{
	struct named *n, *next;
	if (!inodes)
		return;
	HASH_ITER(hh, inodes->names, n, next)
	{
		HASH_DEL(inodes->names, n);
		free_inode(n->inode);
		free(n);
	}
	pthread_mutex_destroy(&inodes->lock);
	free(inodes);
}

static void build_key(struct zvm_bytes *key, enum zvm_inode_kind kind, enum zvm_tree tree, const char *spec,
                      const char *path)
{
	zvm_bytes_number(key, kind);
	zvm_bytes_number(key, tree);
	zvm_bytes_string(key, spec);
	zvm_bytes_string(key, path);
}

static uint64_t number_of(const struct zvm_bytes *key, uint64_t nonce)
{
	uint64_t number = XXH3_64bits_withSeed(key->data, key->size, nonce) >> 1;
	return number > FIRST_NUMBER ? number : number + FIRST_NUMBER;
}

static struct zvm_inode *new_inode(enum zvm_inode_kind kind, enum zvm_tree tree, const char *spec, const char *path,
                                   const struct zvm_bytes *key)
{
	struct zvm_inode *inode = calloc(1, sizeof *inode);
	if (!inode)
		return NULL;
	inode->kind = kind;
	inode->tree = tree;
	inode->path = strdup(path);
	if (!inode->path || (*spec && zvm_spec_parse(spec, &inode->spec))) {
		free_inode(inode);
		return NULL;
	}
	if (kind == ZVM_INODE_FILE)
		while (!inode->nonce && getrandom(&inode->nonce, sizeof inode->nonce, 0) < 0)
			;
	inode->number = number_of(key, inode->nonce);
	return inode;
}

static struct named *add_name(struct zvm_inodes *inodes, const struct zvm_bytes *key, struct zvm_inode *inode)
{
	struct named *n = malloc(sizeof *n + key->size);
	if (!n)
		return NULL;
	n->inode = inode;
	n->key_size = key->size;
	memcpy(n->key, key->data, key->size);
	HASH_ADD(hh, inodes->names, key, n->key_size, n);
	inode->generation = ++inodes->generation;
	inode->named = n;
	return n;
}

struct zvm_inode *zvm_inode_get(struct zvm_inodes *inodes, enum zvm_inode_kind kind, enum zvm_tree tree,
                                const char *spec, const char *path)
{
	zvm_autobytes struct zvm_bytes key = {0};
	struct named *n;
	struct zvm_inode *inode = NULL;
	build_key(&key, kind, tree, spec, path);
	if (key.error)
		return NULL;
	pthread_mutex_lock(&inodes->lock);
	HASH_FIND(hh, inodes->names, key.data, key.size, n);
	if (n) {
		inode = n->inode;
	} else {
		inode = new_inode(kind, tree, spec, path, &key);
		if (inode && !add_name(inodes, &key, inode)) {
			free_inode(inode);
			inode = NULL;
		}
	}
	if (inode)
		inode->lookups++;
	pthread_mutex_unlock(&inodes->lock);
	return inode;
}

static void detach_locked(struct zvm_inodes *inodes, struct zvm_inode *inode)
{
	struct named *n = inode->named;
	if (!n)
		return;
	HASH_DEL(inodes->names, n);
	free(n);
	inode->named = NULL;
}

void zvm_inode_detach(struct zvm_inodes *inodes, struct zvm_inode *inode)
{
	pthread_mutex_lock(&inodes->lock);
	detach_locked(inodes, inode);
	pthread_mutex_unlock(&inodes->lock);
}

void zvm_inode_forget(struct zvm_inodes *inodes, struct zvm_inode *inode, uint64_t lookups)
{
	pthread_mutex_lock(&inodes->lock);
	inode->lookups -= lookups < inode->lookups ? lookups : inode->lookups;
	bool last = !inode->lookups;
	if (last)
		detach_locked(inodes, inode);
	pthread_mutex_unlock(&inodes->lock);
	if (last)
		free_inode(inode);
}

struct zvm_result *zvm_inode_result(struct zvm_inodes *inodes, struct zvm_inode *inode)
{
	pthread_mutex_lock(&inodes->lock);
	struct zvm_result *result = inode->result ? zvm_result_ref(inode->result) : NULL;
	pthread_mutex_unlock(&inodes->lock);
	return result;
}

/* Is there nothing that binding to this would change? */
static bool is_settled(struct zvm_inodes *inodes, struct zvm_inode *inode, const struct zvm_result *result)
{
	pthread_mutex_lock(&inodes->lock);
	const struct zvm_result *bound = inode->result;
	bool settled = bound && (bound->warrant == result->warrant || !result->warrant) &&
	               bound->audience == result->audience && zvm_result_same(bound, result);
	pthread_mutex_unlock(&inodes->lock);
	return settled;
}

/*
 * May who opens the inode be given the other, and who has it open go on? If they are the same runs; or if a reader of
 * this tree could not tell the bytes apart, as when a result went to make room between a look-up and its open. A
 * look-up asks for more: there a changed script is a new inode, whatever it writes.
 */
static bool serves_as(const struct zvm_inode *inode, const struct zvm_result *bound, const struct zvm_result *result)
{
	if (zvm_result_same(bound, result))
		return true;
	return inode->tree == ZVM_TREE_RUN && !bound->error && !result->error && bound->failed == result->failed &&
	       bound->out_size == result->out_size && zvm_digest_equal(&bound->out_digest, &result->out_digest);
}

static void name_number(struct zvm_inode *inode, uint64_t nonce)
{
	zvm_autobytes struct zvm_bytes key = {0};
	inode->nonce = nonce;
	build_key(&key, inode->kind, inode->tree, inode->spec ? inode->spec->text : "", inode->path);
	if (!key.error)
		inode->number = number_of(&key, nonce);
}

int zvm_inode_bind(struct zvm_inodes *inodes, struct zvm_inode *inode, struct zvm_result *result, bool *ret_new)
{
	int r = 0;
	*ret_new = false;
	if (is_settled(inodes, inode, result))
		return 0;
	/* The kernel remembers as many inodes as it has memory for: none may hold a descriptor. */
	struct zvm_result *summary = zvm_result_summary(result, inode->tree == ZVM_TREE_INFO);
	if (!summary)
		return -ENOMEM;
	pthread_mutex_lock(&inodes->lock);
	struct zvm_result *bound = inode->result;
	if (bound && !serves_as(inode, bound, result)) {
		detach_locked(inodes, inode);
		r = -ESTALE;
	} else {
		/* Others may be looking at the bound one: it is replaced, never changed. */
		*ret_new = !bound;
		if (!bound)
			name_number(inode, result->nonce);
		inode->result = summary;
		summary = bound;
	}
	pthread_mutex_unlock(&inodes->lock);
	zvm_result_unref(summary);
	return r;
}
