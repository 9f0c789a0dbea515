/* What is the same wherever JSON is written. */
#ifndef ZVM_FS_JSON_H
#define ZVM_FS_JSON_H

#include <jansson.h>

/* File names are bytes; JSON strings are UTF-8. What is not gets %XX, as in a spec. NULL is null. */
json_t *zvm_json_text(const char *s);

#endif
