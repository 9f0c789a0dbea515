/* See json.h. */
#include "json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zvm/cleanup.h>

json_t *zvm_json_text(const char *s)
{
	json_t *plain = json_string(s);
	if (plain || !s)
		return plain ? plain : json_null();
	zvm_autofree char *escaped = malloc(strlen(s) * 3 + 1);
	char *to = escaped;
	if (!escaped)
		return json_null();
	for (; *s; s++) {
		if ((unsigned char)*s < 0x80 && *s != '%')
			*to++ = *s;
		else
			to += sprintf(to, "%%%02X", (unsigned char)*s);
	}
	*to = 0;
	return json_string(escaped);
}
