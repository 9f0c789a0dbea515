/* zvm vet: what a program is made of, and what in its code could tell one machine or moment from another. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <zvm/command.h>
#include <zvm/vet.h>

static const char *const roles[] = {
        [ZVM_VETTED_SCRIPT] = "script",
        [ZVM_VETTED_PROGRAM] = "program",
        [ZVM_VETTED_INTERPRETER] = "interpreter",
        [ZVM_VETTED_LIBRARY] = "library",
};

/* What a hazard means for results; shown only for those that were found. */
static const char *const meanings[ZVM_HAZARD_COUNT] = {
        [ZVM_HAZARD_CPUID] =
                "asks which processor this is, to choose code by it; results may differ in their last bits",
        [ZVM_HAZARD_XGETBV] = "asks which registers are in use, to choose code by it",
        [ZVM_HAZARD_RDTSC] = "reads a clock; in the box it traps and follows the box's own time",
        [ZVM_HAZARD_RDTSCP] = "reads a clock and the processor's number; in the box it traps",
        [ZVM_HAZARD_RDRAND] = "draws random numbers from the processor",
        [ZVM_HAZARD_RDSEED] = "draws random numbers from the processor",
        [ZVM_HAZARD_RDPID] = "reads the processor's number",
        [ZVM_HAZARD_RDPMC] = "reads performance counters",
        [ZVM_HAZARD_XBEGIN] = "starts memory transactions, which fail by chance",
        [ZVM_HAZARD_TABLES] = "reads where the kernel keeps its tables",
        [ZVM_HAZARD_APPROXIMATE] = "computes approximations whose bits differ between makers of processors",
        [ZVM_HAZARD_LEGACY_CALL] = "32-bit system calls: the box kills whoever makes one",
};

static int print_help(void)
{
	puts("usage: zvm vet [--json] FILE\n\n"
	     "Says what FILE is made of: the interpreters that its #! line leads to, its ELF interpreter, every "
	     "library it needs; and of\n"
	     "each, how much code was read, how many system-call sites are in it, and which instructions could tell "
	     "one machine or\n"
	     "moment from another. FILE without a slash is also looked for in /usr/local/bin, /usr/bin and /bin. "
	     "Nothing is run.\n\n"
	     "  --json   the same for programs\n\n"
	     "Exit status: 0; 1 FILE cannot be run, or a library of it is missing; 2 usage; 125 zvm failed.");
	return 0;
}

static unsigned percent(const struct zvm_vetted_file *f)
{
	return f->code_bytes ? (unsigned)(f->decoded_bytes * 100 / f->code_bytes) : 0;
}

static void print_hazards(const struct zvm_vetted_file *f)
{
	const char *comma = "";
	for (int h = 0; h < ZVM_HAZARD_COUNT; h++) {
		if (!f->hazards[h])
			continue;
		printf("%s%s %" PRIu64, comma, zvm_hazard_name((enum zvm_hazard)h), f->hazards[h]);
		comma = ", ";
	}
	puts(*comma ? "" : "none");
}

static void print_file(const struct zvm_vetted_file *f, int width)
{
	printf("%-11s  %-*s  ", roles[f->role], width, f->path);
	if (f->missing) {
		puts("not found, or not for this machine");
	} else if (f->role == ZVM_VETTED_SCRIPT) {
		puts("");
	} else {
		printf("%7" PRIu64 "K  %3u%%  %5" PRIu64 "  ", f->code_bytes / 1024, percent(f), f->syscall_sites);
		print_hazards(f);
	}
}

static int path_width(const struct zvm_vetting *v)
{
	size_t width = 4;
	for (unsigned i = 0; i < v->count; i++)
		if (strlen(v->files[i].path) > width)
			width = strlen(v->files[i].path);
	return width > 60 ? 60 : (int)width;
}

static struct zvm_vetted_file sum_of(const struct zvm_vetting *v)
{
	struct zvm_vetted_file sum = {0};
	for (unsigned i = 0; i < v->count; i++) {
		const struct zvm_vetted_file *f = &v->files[i];
		sum.code_bytes += f->code_bytes;
		sum.decoded_bytes += f->decoded_bytes;
		sum.functions += f->functions;
		sum.unreadable += f->unreadable;
		sum.syscall_sites += f->syscall_sites;
		sum.vector_instructions += f->vector_instructions;
		sum.missing |= f->missing;
		for (int h = 0; h < ZVM_HAZARD_COUNT; h++)
			sum.hazards[h] += f->hazards[h];
	}
	return sum;
}

static void print_summary(const struct zvm_vetted_file *sum)
{
	printf("\n%" PRIu64 " functions read, %u%% of the code; %" PRIu64
	       " system-call sites, and every call made elsewhere is caught as well.\n",
	       sum->functions, percent(sum), sum->syscall_sites);
	if (sum->unreadable)
		printf("%" PRIu64 " functions could not be read to their end.\n", sum->unreadable);
	if (sum->vector_instructions)
		printf("%" PRIu64 " vector instructions beyond x86-64-v2: code that is chosen by cpuid, or that needs "
		       "such a processor.\n",
		       sum->vector_instructions);
	for (int h = 0; h < ZVM_HAZARD_COUNT; h++)
		if (sum->hazards[h])
			printf("%s: %s.\n", zvm_hazard_name((enum zvm_hazard)h), meanings[h]);
	if (sum->decoded_bytes < sum->code_bytes)
		puts("What is in the rest of the code, which no unwind table or symbol describes, is not known.");
}

static void print_text(const struct zvm_vetting *v)
{
	int width = path_width(v);
	struct zvm_vetted_file sum = sum_of(v);
	printf("%-11s  %-*s  %8s  %4s  %5s  %s\n", "", width, "FILE", "CODE", "READ", "CALLS", "HAZARDS");
	for (unsigned i = 0; i < v->count; i++)
		print_file(&v->files[i], width);
	print_summary(&sum);
}

static json_t *hazards_json(const struct zvm_vetted_file *f)
{
	json_t *object = json_object();
	for (int h = 0; h < ZVM_HAZARD_COUNT; h++)
		if (f->hazards[h])
			json_object_set_new(object, zvm_hazard_name((enum zvm_hazard)h),
			                    json_integer((json_int_t)f->hazards[h]));
	return object;
}

/* A path is bytes, JSON is text: what is no UTF-8 becomes escapes of ours. */
static json_t *path_json(const char *path)
{
	json_t *text = json_string(path);
	if (text)
		return text;
	char escaped[4096 * 4];
	size_t n = 0;
	for (const unsigned char *c = (const unsigned char *)path; *c && n + 5 < sizeof escaped; c++)
		n += (size_t)snprintf(escaped + n, sizeof escaped - n, *c < 0x80 ? "%c" : "%%%02X", *c);
	return json_stringn(escaped, n);
}

static json_t *file_json(const struct zvm_vetted_file *f)
{
	return json_pack("{s:s, s:o, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "role", roles[f->role], "path",
	                 path_json(f->path), "missing", (int)f->missing, "code_bytes", (json_int_t)f->code_bytes,
	                 "decoded_bytes", (json_int_t)f->decoded_bytes, "functions", (json_int_t)f->functions,
	                 "unreadable_functions", (json_int_t)f->unreadable, "syscall_sites",
	                 (json_int_t)f->syscall_sites, "vector_instructions", (json_int_t)f->vector_instructions,
	                 "hazards", hazards_json(f));
}

static int print_json(const struct zvm_vetting *v)
{
	json_t *files = json_array();
	for (unsigned i = 0; i < v->count; i++)
		json_array_append_new(files, file_json(&v->files[i]));
	json_t *root = json_pack("{s:o}", "files", files);
	int r = root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;
	putchar('\n');
	json_decref(root);
	return r;
}

static int vet(const char *path, int json)
{
	struct zvm_vetting v;
	int r = zvm_vet(path, &v), status = 0;
	if (r == -ENOMEM || r == -EIO)
		status = zvm_complain(125, "vet", "%s", v.message ? v.message : strerror(-r));
	else if (r)
		status = zvm_complain(1, "vet", "%s", v.message ? v.message : strerror(-r));
	else if (!json)
		print_text(&v);
	else if (print_json(&v))
		status = zvm_complain(125, "vet", "the report could not be written");
	for (unsigned i = 0; status == 0 && i < v.count; i++)
		status = v.files[i].missing;
	zvm_vetting_free(&v);
	return status;
}

int zvm_command_vet(int argc, char **argv)
{
	static const struct option options[] = {
	        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int option, json = 0;
	optind = 1;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return print_help();
		if (option != 'j')
			return 2;
		json = 1;
	}
	if (argc - optind != 1)
		return zvm_complain(2, "vet", "give one file; `zvm vet --help` says what is told of it");
	return vet(argv[optind], json);
}
