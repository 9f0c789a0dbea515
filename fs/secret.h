/*
 * The store's secret: what prints of contents (digest.h) are made with.
 *
 *   r = zvm_secret_load(store);     // at opening, last
 *   zvm_content_identify(fd, size, zvm_store_secret(store), &digest);
 */
#ifndef ZVM_FS_SECRET_H
#define ZVM_FS_SECRET_H

struct zvm_store;

struct zvm_secret {
	unsigned char bytes[192]; /* as many as XXH3 takes */
};

/*
 * Reads it, or makes it where there is none. 0, or -errno. A store that cannot be written to, or is full, may do
 * without: contents have no prints then, and nothing that was said of one with a print is believed.
 */
int zvm_secret_load(struct zvm_store *store);

#endif
