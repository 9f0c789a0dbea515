/* The one place that commands complain through. */
#include <stdarg.h>
#include <stdio.h>
#include <zvm/command.h>

int zvm_complain(int status, const char *command, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	flockfile(stderr);
	fprintf(stderr, "zvm %s: ", command);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	funlockfile(stderr);
	va_end(arguments);
	return status;
}

int zvm_complain_of_options(int status, const char *command)
{
	fprintf(stderr, "`zvm %s --help` lists the options\n", command);
	return status;
}
