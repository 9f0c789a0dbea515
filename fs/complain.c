/* The one place that commands complain through. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
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

int zvm_complain_of_boxes(int status, const char *command, int error)
{
	if (error == -EAGAIN)
		return zvm_complain(status, command,
		                    "no box can be made here: the user whom boxes run as (nobody, where root starts "
		                    "them) has as many processes as he may have (RLIMIT_NPROC); end some");
	return zvm_complain(status, command, "no box can be made here: %s; `zvm doctor` may tell why",
	                    strerror(-error));
}
