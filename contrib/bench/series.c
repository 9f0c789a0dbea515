/* Series of times, and what is read from them. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include "bench.h"

int series_add(struct series *s, double value)
{
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		double *values = reallocarray(s->values, room, sizeof *values);
		if (!values)
			return complain(-ENOMEM, "bench", "no memory");
		s->values = values;
		s->room = room;
	}
	s->values[s->count++] = value;
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

double series_rank(struct series *s, double part)
{
	if (!s->count)
		return NAN;
	qsort(s->values, s->count, sizeof *s->values, compare_numbers);
	size_t i = (size_t)(part * (double)s->count);
	return s->values[i < s->count ? i : s->count - 1];
}

double series_median(struct series *s)
{
	double upper = series_rank(s, 0.5);
	return s->count % 2 || !s->count ? upper : (s->values[s->count / 2 - 1] + upper) / 2;
}

void series_free(struct series *s)
{
	free(s->values);
	*s = (struct series){0};
}

double row_ratio(struct row *row, enum column a, enum column b)
{
	return series_median(&row->at[a]) / series_median(&row->at[b]);
}
