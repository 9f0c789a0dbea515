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

/* What a hazard means for results; shown only for those that were found and are not taken away. */
static const char *const meanings[ZVM_HAZARD_COUNT] = {
        [ZVM_HAZARD_XBEGIN] =
                "starts memory transactions, which fail by chance; whoever asks first is told that there are none",
        [ZVM_HAZARD_TABLES] =
                "reads where the kernel keeps its tables: nothing prevents it where the processor does not",
        [ZVM_HAZARD_XSAVE] =
                "saves as many registers as this processor has; whoever asks first is told that there is none",
        [ZVM_HAZARD_APPROXIMATE] =
                "computes approximations whose bits differ between makers of processors: nothing prevents it",
        [ZVM_HAZARD_LEGACY_CALL] = "32-bit system calls: the box kills whoever makes one",
};

static int print_help(void)
{
	puts("usage: zvm vet [--json] FILE\n\n"
	     "Says what FILE is made of: the interpreters that its #! line leads to, its ELF interpreter, every "
	     "library it needs; and of\n"
	     "each, how much code was read, how many system-call sites are in it, how many instructions that tell one "
	     "machine or\n"
	     "moment from another a box takes away, and what else of that kind is in it. FILE without a slash is also "
	     "looked for in /usr/local/bin, /usr/bin and /bin. "
	     "Nothing is run.\n\n"
	     "  --json   the same for programs\n\n"
	     "Exit status: 0; 1 FILE cannot be run, or a library of it is missing; 2 usage; 125 zvm failed.");
	return 0;
}

static unsigned percent(const struct zvm_vetted_file *f)
{
	return f->code_bytes ? (unsigned)(f->decoded_bytes * 100 / f->code_bytes) : 0;
}

/* One of those that boxes answer: what the fixed machine says, wherever its place is proven. */
static int is_answered(int hazard)
{
	return hazard < ZVM_HAZARD_XBEGIN;
}

static uint64_t sum(const uint64_t counts[ZVM_HAZARD_COUNT])
{
	uint64_t n = 0;
	for (int h = 0; h < ZVM_HAZARD_COUNT; h++)
		n += counts[h];
	return n;
}

static void print_counts(const uint64_t counts[ZVM_HAZARD_COUNT], int answered, const char *before)
{
	const char *comma = before;
	for (int h = 0; h < ZVM_HAZARD_COUNT; h++) {
		if (!counts[h] || is_answered(h) != answered)
			continue;
		printf("%s%s %" PRIu64, comma, zvm_hazard_name((enum zvm_hazard)h), counts[h]);
		comma = ", ";
	}
}

static void print_file(const struct zvm_vetted_file *f, int width)
{
	printf("%-11s  %-*s  ", roles[f->role], width, f->path);
	if (f->missing) {
		puts("not found, or not for this machine");
	} else if (f->role == ZVM_VETTED_SCRIPT) {
		puts("");
	} else {
		printf("%7" PRIu64 "K  %3u%%  %5" PRIu64 "  %5" PRIu64 "  %9" PRIu64 "  %8" PRIu64,
		       f->code_bytes / 1024, percent(f), f->syscall_sites, f->syscall_jumps, sum(f->rewritten),
		       f->unproven);
		print_counts(f->hazards, 0, "  ");
		puts(f->unread ? "  too large to be looked into" : "");
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
	struct zvm_vetted_file all = {0};
	for (unsigned i = 0; i < v->count; i++) {
		const struct zvm_vetted_file *f = &v->files[i];
		all.code_bytes += f->code_bytes;
		all.decoded_bytes += f->decoded_bytes;
		all.functions += f->functions;
		all.unreadable += f->unreadable;
		all.syscall_sites += f->syscall_sites;
		all.syscall_jumps += f->syscall_jumps;
		all.unproven += f->unproven;
		all.missing |= f->missing;
		for (int h = 0; h < ZVM_HAZARD_COUNT; h++) {
			all.hazards[h] += f->hazards[h];
			all.rewritten[h] += f->rewritten[h];
		}
	}
	return all;
}

static void print_unproven(const struct zvm_vetting *v, uint64_t count)
{
	if (!count)
		return;
	printf("\n%" PRIu64 " places look like such instructions, and are neither proven to be any nor to be something "
	       "else. They stay as they are:\n",
	       count);
	for (unsigned i = 0; i < v->count; i++) {
		const struct zvm_vetted_file *f = &v->files[i];
		uint64_t shown = f->unproven < ZVM_VETTED_PLACES_MAX ? f->unproven : ZVM_VETTED_PLACES_MAX;
		for (uint64_t k = 0; k < shown; k++)
			printf("  %s+0x%" PRIx64 " %s\n", f->path, f->places[k].offset,
			       zvm_hazard_name(f->places[k].hazard));
		if (shown < f->unproven)
			printf("  %s: %" PRIu64 " more\n", f->path, f->unproven - shown);
	}
}

/* Vector instructions are no hazard where the program asks for them first: the answer is always no. */
static void print_vectors(const struct zvm_vetting *v)
{
	for (unsigned i = 0; i < v->count; i++) {
		const struct zvm_vetted_file *f = &v->files[i];
		if (f->vector_instructions && !f->dispatches)
			printf("\n%s has %" PRIu64
			       " vector instructions beyond x86-64-v2, and nothing in it asks whether the "
			       "processor has them:\nif they are reached, it runs only on processors that do, and "
			       "nothing "
			       "takes them away.\n",
			       f->path, f->vector_instructions);
	}
}

static void print_summary(const struct zvm_vetting *v, const struct zvm_vetted_file *all)
{
	printf("\n%" PRIu64 " functions read, %u%% of the code; %" PRIu64 " system-call sites, of which %" PRIu64
	       " jump to the box's monitor;\nthe others trap, and every call made elsewhere is caught as well.\n",
	       all->functions, percent(all), all->syscall_sites, all->syscall_jumps);
	if (all->unreadable)
		printf("%" PRIu64 " functions could not be read to their end.\n", all->unreadable);
	if (sum(all->rewritten)) {
		printf("%" PRIu64
		       " instructions that tell machines or moments apart are rewritten, and answered by the box: ",
		       sum(all->rewritten));
		print_counts(all->rewritten, 1, "");
		puts(".");
	}
	for (int h = 0; h < ZVM_HAZARD_COUNT; h++)
		if (all->hazards[h] && meanings[h])
			printf("%s: %s.\n", zvm_hazard_name((enum zvm_hazard)h), meanings[h]);
	print_vectors(v);
	print_unproven(v, all->unproven);
	puts("\nCode that a program makes while it runs cannot be seen here; info/ says of a run that did so: "
	     "not_vetted.");
}

static void print_text(const struct zvm_vetting *v)
{
	int width = path_width(v);
	struct zvm_vetted_file all = sum_of(v);
	printf("%-11s  %-*s  %8s  %4s  %5s  %5s  %9s  %8s  %s\n", "", width, "FILE", "CODE", "READ", "CALLS", "JUMPS",
	       "REWRITTEN", "UNPROVEN", "OTHER HAZARDS");
	for (unsigned i = 0; i < v->count; i++)
		print_file(&v->files[i], width);
	print_summary(v, &all);
}

static json_t *counts_json(const uint64_t counts[ZVM_HAZARD_COUNT])
{
	json_t *object = json_object();
	for (int h = 0; h < ZVM_HAZARD_COUNT; h++)
		if (counts[h])
			json_object_set_new(object, zvm_hazard_name((enum zvm_hazard)h),
			                    json_integer((json_int_t)counts[h]));
	return object;
}

static json_t *unproven_json(const struct zvm_vetted_file *f)
{
	json_t *array = json_array();
	for (uint64_t i = 0; i < f->unproven && i < ZVM_VETTED_PLACES_MAX; i++)
		json_array_append_new(array, json_pack("{s:I, s:s}", "offset", (json_int_t)f->places[i].offset,
		                                       "instruction", zvm_hazard_name(f->places[i].hazard)));
	return array;
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
	json_t *object =
	        json_pack("{s:s, s:o, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "role", roles[f->role], "path",
	                  path_json(f->path), "missing", (int)f->missing, "code_bytes", (json_int_t)f->code_bytes,
	                  "decoded_bytes", (json_int_t)f->decoded_bytes, "functions", (json_int_t)f->functions,
	                  "unreadable_functions", (json_int_t)f->unreadable, "syscall_sites",
	                  (json_int_t)f->syscall_sites, "vector_instructions", (json_int_t)f->vector_instructions);
	json_object_set_new(object, "syscall_jumps", json_integer((json_int_t)f->syscall_jumps));
	json_object_set_new(object, "dispatches", json_boolean(f->dispatches));
	json_object_set_new(object, "unread", json_boolean(f->unread));
	json_object_set_new(object, "hazards", counts_json(f->hazards));
	json_object_set_new(object, "rewritten", counts_json(f->rewritten));
	json_object_set_new(object, "unproven_count", json_integer((json_int_t)f->unproven));
	json_object_set_new(object, "unproven", unproven_json(f));
	return object;
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
			return zvm_complain_of_options(2, "vet");
		json = 1;
	}
	if (argc - optind != 1)
		return zvm_complain(2, "vet", "give one file; `zvm vet --help` says what is told of it");
	return vet(argv[optind], json);
}
