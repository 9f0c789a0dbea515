/* Any bytes as a stored record or action: refused, or understood so exactly that encoding gives the same bytes again.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zvm/record.h>
#include "fuzz.h"

static void as_action(const uint8_t *data, size_t size)
{
	struct zvm_action *action;
	zvm_autobytes struct zvm_bytes again = {0};
	int r = zvm_action_decode(data, size, &action);
	require(r == 0 || r == -EBADMSG);
	if (r)
		return;
	require(zvm_action_encode(action, &again) == 0);
	require(again.size == size && !memcmp(again.data, data, size));
	zvm_action_free(action);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zvm_record *record;
	zvm_autobytes struct zvm_bytes again = {0};
	as_action(data, size);
	int r = zvm_record_decode(data, size, &record);
	require(r == 0 || r == -EBADMSG);
	if (r)
		return 0;
	require(record->end == ZVM_END_EXIT || record->end == ZVM_END_SIGNAL);
	for (unsigned i = 0; i < record->dependency_count; i++) {
		const struct zvm_dependency *d = &record->dependencies[i];
		require(d->question.kind == ZVM_ASK_LOOKUP || d->question.kind == ZVM_ASK_OPEN);
		require(d->question.path && d->answer.fd == -1);
	}
	require(zvm_record_encode(record, &again) == 0);
	require(again.size == size && !memcmp(again.data, data, size));
	zvm_record_free(record);
	return 0;
}
