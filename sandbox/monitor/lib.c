/* The little of a C library that the monitor needs. */
#include <stdarg.h>
#include "monitor.h"

void *memcpy(void *to, const void *from, size_t n)
{
	void *start = to;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return start;
}

void *memmove(void *to, const void *from, size_t n)
{
	u8 *t = to;
	const u8 *f = from;
	if (t <= f || t >= f + n)
		return memcpy(to, from, n);
	while (n--)
		t[n] = f[n];
	return to;
}

void *memset(void *to, int c, size_t n)
{
	void *start = to;
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return start;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;
	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n; n--, a++, b++)
		if (*a != *b || !*a)
			return (u8)*a - (u8)*b;
	return 0;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)(uintptr_t)s;
		if (!*s)
			return NULL;
	}
}

char *strrchr(const char *s, int c)
{
	const char *last = NULL;
	for (;; s++) {
		if (*s == (char)c)
			last = s;
		if (!*s)
			return (char *)(uintptr_t)last;
	}
}

bool starts_with(const char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return false;
	return true;
}

struct sink {
	char *to;
	size_t room, size;
};

static void put(struct sink *sink, char c)
{
	if (sink->size + 1 < sink->room)
		sink->to[sink->size] = c;
	sink->size++;
}

static void put_padded(struct sink *sink, const char *s, size_t n, int width, char pad, bool left)
{
	for (size_t i = n; !left && (int)i < width; i++)
		put(sink, pad);
	for (size_t i = 0; i < n; i++)
		put(sink, s[i]);
	for (size_t i = n; left && (int)i < width; i++)
		put(sink, pad);
}

static void put_number(struct sink *sink, u64 value, u32 base, bool negative, int width, char pad, bool left)
{
	char digits[24];
	size_t n = sizeof digits;
	do {
		digits[--n] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (negative && pad == '0') {
		put(sink, '-');
		width--;
	} else if (negative) {
		digits[--n] = '-';
	}
	put_padded(sink, digits + n, sizeof digits - n, width, pad, left);
}

static void put_pattern(struct sink *sink, const char *pattern, va_list arguments)
{
	for (; *pattern; pattern++) {
		if (*pattern != '%') {
			put(sink, *pattern);
			continue;
		}
		char pad = ' ';
		bool left = false;
		int width = 0, longs = 0;
		for (pattern++; *pattern == '0' || *pattern == '-'; pattern++) {
			left |= *pattern == '-';
			if (*pattern == '0')
				pad = '0';
		}
		for (; *pattern >= '0' && *pattern <= '9'; pattern++)
			width = width * 10 + (*pattern - '0');
		for (; *pattern == 'l' || *pattern == 'z'; pattern++)
			longs++;
		if (*pattern == 's') {
			const char *s = va_arg(arguments, const char *);
			put_padded(sink, s, strlen(s), width, ' ', left);
		} else if (*pattern == 'c') {
			put(sink, (char)va_arg(arguments, int));
		} else if (*pattern == 'd') {
			s64 value = longs ? va_arg(arguments, s64) : va_arg(arguments, int);
			put_number(sink, value < 0 ? 0 - (u64)value : (u64)value, 10, value < 0, width, pad, left);
		} else if (*pattern == 'u' || *pattern == 'x' || *pattern == 'o') {
			u64 value = longs ? va_arg(arguments, u64) : va_arg(arguments, u32);
			put_number(sink, value,
			           *pattern == 'x'   ? 16
			           : *pattern == 'o' ? 8
			                             : 10,
			           false, width, pad, left);
		} else {
			put(sink, *pattern);
		}
		if (!*pattern)
			break;
	}
}

int format(char *to, size_t room, const char *pattern, ...)
{
	struct sink sink = {to, room, 0};
	va_list arguments;
	va_start(arguments, pattern);
	put_pattern(&sink, pattern, arguments);
	va_end(arguments);
	if (room)
		to[sink.size < room ? sink.size : room - 1] = 0;
	return (int)sink.size;
}

void text_add(struct text *text, const char *pattern, ...)
{
	if (text->size >= text->room)
		return;
	struct sink sink = {text->data + text->size, text->room - text->size, 0};
	va_list arguments;
	va_start(arguments, pattern);
	put_pattern(&sink, pattern, arguments);
	va_end(arguments);
	text->size += min_u64(sink.size, sink.room - 1);
	text->data[text->size] = 0;
}
