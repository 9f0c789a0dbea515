/*
 * Do a run's dependencies still hold, and what would the view answer? Asking the view proves it; most of the time
 * a stat does, too (check.c).
 *
 *   r = zvm_check_dependencies(checks, view, list, count, quick, &proof);   // 1 they hold, 0 not
 *
 * A *proof* is what made them hold the last time: one stat for each file proves it again. It belongs to whoever keeps
 * the list; NULL at first. Thread-safe, but for the proof itself: two threads must not pass the same variable at once.
 */
#ifndef ZVM_FS_CHECK_H
#define ZVM_FS_CHECK_H

#include <zvm/blob.h>
#include <zvm/box.h>

struct zvm_checks;
struct zvm_proof;

int zvm_checks_open(struct zvm_blobs *blobs, struct zvm_checks **ret);
void zvm_checks_close(struct zvm_checks *checks);

/*
 * 1 all hold, 0 not, -EAGAIN (quick only) telling would need to read contents, -errno trouble of ours. *proof is used
 * if there is one, and replaced if another has become possible.
 */
int zvm_check_dependencies(struct zvm_checks *checks, const struct zvm_view *view,
                           const struct zvm_dependency *dependencies, unsigned count, bool quick,
                           struct zvm_proof **proof);
/* Does it still prove it? The caller has refreshed the blobs' watch. NULL proves nothing. */
bool zvm_proof_holds(struct zvm_checks *checks, const struct zvm_proof *proof, const struct zvm_view *view);
struct zvm_proof *zvm_proof_ref(struct zvm_proof *proof);
void zvm_proof_unref(struct zvm_proof *proof);

/* As zvm_view_ask, from memory where a stat shows that the answer is the same. */
int zvm_check_ask(struct zvm_checks *checks, const struct zvm_view *view, const struct zvm_question *question,
                  bool want_fd, struct zvm_answer *ret, bool *pinned);

#endif
