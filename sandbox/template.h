/*
 * Templates, as the daemon sees them: which there are, which are wanted, and boxes that go on from one.
 *
 *   t = zvm_templates_find(templates, request, &wanted);   // a reference, or NULL: begin at the beginning
 *   if (t && zvm_template_holds(t, request)) ...           // nothing that it has read has changed
 *       r = zvm_template_take(t, &box);                // and zvm_template_give once it has ended
 *   zvm_templates_drop(templates, t);                      // only if it is of no use any more
 *   zvm_template_unref(t);
 *
 * Thread-safe. See box.h for what a template is, and box.c for how one is made.
 */
#ifndef ZVM_TEMPLATE_H
#define ZVM_TEMPLATE_H

#include <zvm/box.h>
#include <zvm/bytes.h>
#include "broker.h"
#include "launch.h"

struct zvm_templates;
struct zvm_template;

int zvm_templates_new(struct zvm_templates **ret);
void zvm_templates_free(struct zvm_templates *templates);
/* Those that nobody has asked for in so long, and that they have been asked for. */
void zvm_templates_forget(struct zvm_templates *templates, unsigned idle_ms);

/* Counts the request. *wanted: it has been made often enough for a template to be worth making. */
struct zvm_template *zvm_templates_find(struct zvm_templates *templates, const struct zvm_box_request *request,
                                        bool *wanted);
/* true: go and make it, and say what came of it: a template, which is taken, or NULL. */
bool zvm_templates_begin(struct zvm_templates *templates, const struct zvm_box_request *request);
void zvm_templates_end(struct zvm_templates *templates, const struct zvm_box_request *request,
                       struct zvm_template *made);
void zvm_templates_drop(struct zvm_templates *templates, struct zvm_template *t);

/* Of a box that has stopped: takes its status descriptor, the feed, what it was begun with, and the broker with all
 * that it has answered. 0 or -errno, and then nothing is taken. */
int zvm_template_new(struct zvm_broker *broker, const struct zvm_boxed *box, int feed,
                     const struct zvm_given begun_with[2], struct zvm_template **ret);
/* Lines of the trace of what it has done, for each run that goes on from it: of one that is not traced there are none.
 */
struct zvm_bytes *zvm_template_trace(struct zvm_template *t);
void zvm_template_unref(struct zvm_template *t);
const struct zvm_broker *zvm_template_broker(const struct zvm_template *t);
bool zvm_template_holds(struct zvm_template *t, const struct zvm_box_request *request);
/* 0; -EAGAIN: none is ready; another -errno: none ever will be. */
int zvm_template_take(struct zvm_template *t, struct zvm_boxed *ret);
/* The box that was taken has ended: have the next one made. Not before, since it needs a processor. */
void zvm_template_give(struct zvm_template *t);

#endif
