/*
 * What running a path means: follow `#!` lines, find the ELF file at their end and its interpreter, build the argument
 * vector. As the kernel does it, with one shortcut: `#!/usr/bin/env NAME` is resolved here along the guest's PATH,
 * which saves starting env; lines that ask more of env than that (options, quotes, variables) do start it. Every look
 * at a file is a question to the asker, so that the interpreter, and the directories where it was not, become
 * dependencies of the run.
 *
 * Messages name guest paths only. They come from strangers' files, so what is not printable in them is shown as `?`.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zvm/box.h>
#include <zvm/cleanup.h>
#include "plan.h"
#include "shebang.h"
#include "walk.h"

#define ARGUMENTS_MAX 4096
#define LINKS_MAX 40

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

struct resolution {
	zvm_asker *asker;
	void *context;
	struct zvm_program *program;
	const char *search; /* the guest's PATH */
	unsigned argument_count;
	struct zvm_digest opened; /* the content that was opened last; zero: it was given */
};

__attribute__((format(printf, 3, 4))) static int say(struct zvm_program *p, int error, const char *format, ...)
{
	va_list arguments;
	free(p->message);
	va_start(arguments, format);
	if (vasprintf(&p->message, format, arguments) < 0)
		p->message = NULL;
	va_end(arguments);
	for (char *c = p->message; c && *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return error;
}

/* Puts a copy of `word` before position `at` of the argument vector. */
static int insert_argument(struct resolution *s, unsigned at, const char *word)
{
	if (s->argument_count + 2 > ARGUMENTS_MAX)
		return -E2BIG;
	char **more = realloc(s->program->arguments, (s->argument_count + 2) * sizeof *more);
	if (!more)
		return -ENOMEM;
	s->program->arguments = more;
	char *copy = strdup(word);
	if (!copy)
		return -ENOMEM;
	memmove(more + at + 1, more + at, (s->argument_count - at) * sizeof *more);
	more[at] = copy;
	more[++s->argument_count] = NULL;
	return 0;
}

static int replace_first(struct resolution *s, const char *word)
{
	char *copy = strdup(word);
	if (!copy)
		return -ENOMEM;
	free(s->program->arguments[0]);
	s->program->arguments[0] = copy;
	return 0;
}

static int ask_open(struct resolution *s, const char *path, struct zvm_answer *ret)
{
	struct zvm_question question = {.kind = ZVM_ASK_OPEN, .path = (char *)(size_t)path};
	int r = s->asker(s->context, &question, true, ret);
	if (r == 0 && !ret->error && ret->elsewhere)
		ret->error = -ENOENT; /* interpreters are host files; nothing private exists yet */
	s->opened = r == 0 && ret->has_content ? ret->digest : (struct zvm_digest){0};
	return r;
}

/* An open descriptor of a runnable file, or the errno and a message
 * naming it and the file that needs it (NULL: none). */
static int open_program(struct resolution *s, const char *path, const char *wanted_by, int *ret_fd)
{
	const char *relation = wanted_by ? ", the interpreter named by " : "", *comma = wanted_by ? "," : "";
	struct zvm_answer a;
	int r = ask_open(s, path, &a);
	if (r)
		return r;
	wanted_by = wanted_by ? wanted_by : "";
	if (a.error == -ENOENT)
		r = say(s->program, a.error, "%s%s%s%s does not exist", path, relation, wanted_by, comma);
	else if (a.error)
		r = say(s->program, a.error, "%s%s%s%s cannot be opened: %s", path, relation, wanted_by, comma,
		        strerror(-a.error));
	else if (!S_ISREG(a.mode) || !(a.mode & 0111))
		r = say(s->program, -EACCES, "%s%s%s%s is not executable", path, relation, wanted_by, comma);
	else
		*ret_fd = zvm_steal_fd(&a.fd);
	zvm_answer_free(&a);
	return r;
}

/* NAME along PATH; the first that exists and may be run. Its path goes to `found`. */
static int open_on_path(struct resolution *s, const char *name, const char *wanted_by, char found[ZVM_PATH_MAX],
                        int *ret_fd)
{
	bool forbidden = false;
	if (strchr(name, '/')) {
		snprintf(found, ZVM_PATH_MAX, "%s", name);
		return open_program(s, name, wanted_by, ret_fd);
	}
	for (const char *at = s->search; *at; at += strcspn(at, ":"), at += *at == ':') {
		struct zvm_answer a;
		int length = (int)strcspn(at, ":");
		/* What is no absolute path lies in the guest's own directories, which are empty still. */
		if (*at != '/' || snprintf(found, ZVM_PATH_MAX, "%.*s/%s", length, at, name) >= ZVM_PATH_MAX)
			continue;
		int r = ask_open(s, found, &a);
		if (r)
			return r;
		bool good = !a.error && S_ISREG(a.mode) && (a.mode & 0111);
		forbidden |= !good && (!a.error || a.error == -EACCES);
		if (good)
			*ret_fd = zvm_steal_fd(&a.fd);
		zvm_answer_free(&a);
		if (good)
			return 0;
	}
	return say(s->program, forbidden ? -EACCES : -ENOENT, "%s, the interpreter named by %s, is %s in PATH (%s)",
	           name, wanted_by, forbidden ? "not executable" : "not", s->search);
}

/* What `#!/usr/bin/env ARGUMENT` means where it is simple: words[0] is the program to find along PATH. */
struct env_line {
	char text[ZVM_SHEBANG_SIZE + 1];
	char *words[ZVM_SHEBANG_SIZE / 2 + 1];
	unsigned count;
};

/* false: env itself has to be asked. Without -S the argument is one word, blanks and all, as env sees it. */
static bool parse_env(const char *argument, struct env_line *ret)
{
	char *save = NULL;
	bool split = !strncmp(argument, "-S", 2);
	snprintf(ret->text, sizeof ret->text, "%s", split ? argument + 2 : argument);
	ret->count = 0;
	if (strchr(ret->text, '=') || (split && strpbrk(ret->text, "\"'\\$#")))
		return false;
	if (!split)
		ret->words[ret->count++] = ret->text;
	for (char *word = split ? strtok_r(ret->text, " \t", &save) : NULL; word; word = strtok_r(NULL, " \t", &save))
		ret->words[ret->count++] = word;
	return ret->count && *ret->words[0] && *ret->words[0] != '-';
}

static bool is_env(const char *interpreter)
{
	return !strcmp(interpreter, "/usr/bin/env") || !strcmp(interpreter, "/bin/env");
}

/* *path and *fd become those of the program that env would start. */
static int enter_by_env(struct resolution *s, const struct env_line *env, const char *script, char path[ZVM_PATH_MAX],
                        int *fd)
{
	int r = 0;
	for (unsigned i = env->count; i-- > 0 && r == 0;)
		r = insert_argument(s, 0, env->words[i]);
	return r ? r : open_on_path(s, env->words[0], script, path, fd);
}

/* *path and *fd become the interpreter's; the arguments grow accordingly. */
static int enter_interpreter(struct resolution *s, const struct zvm_shebang *line, char path[ZVM_PATH_MAX], int *fd)
{
	char script[ZVM_PATH_MAX];
	struct env_line env;
	memcpy(script, path, strlen(path) + 1);
	int r = replace_first(s, script);
	close(zvm_steal_fd(fd));
	if (r)
		return r;
	if (is_env(line->interpreter) && parse_env(line->argument, &env))
		return enter_by_env(s, &env, script, path, fd);
	if (*line->argument)
		r = insert_argument(s, 0, line->argument);
	r = r ? r : insert_argument(s, 0, line->interpreter);
	snprintf(path, ZVM_PATH_MAX, "%s", line->interpreter);
	return r ? r : open_program(s, path, script, fd);
}

/* --- the file's own name --- */

static int ask_lookup(struct resolution *s, const char *path, unsigned flags, struct zvm_answer *ret)
{
	struct zvm_question question = {.kind = ZVM_ASK_LOOKUP, .flags = flags, .path = (char *)(size_t)path};
	return s->asker(s->context, &question, false, ret);
}

/* Appends "/NAME" for the first component of *rest to `done`, and moves *rest behind it. false: too long. */
static bool take_component(char done[ZVM_PATH_MAX], const char **rest)
{
	size_t length = strcspn(*rest, "/"), used = strlen(done);
	if (used + length + 2 > ZVM_PATH_MAX)
		return false;
	done[used] = '/';
	memcpy(done + used + 1, *rest, length);
	done[used + 1 + length] = 0;
	*rest += length;
	*rest += strspn(*rest, "/");
	return true;
}

static void drop_component(char *done)
{
	char *slash = strrchr(done, '/');
	if (slash)
		*slash = 0;
}

/*
 * path, which leads through links, becomes the name of the file they lead to: programs find their libraries relative to
 * /proc/self/exe ($ORIGIN of ld.so, java). If the links change while we look, the name stays as it was asked for.
 */
static int follow_links(struct resolution *s, char path[ZVM_PATH_MAX])
{
	char done[ZVM_PATH_MAX] = "", pending[ZVM_PATH_MAX], next[ZVM_PATH_MAX];
	const char *rest = pending;
	memcpy(pending, path + 1, strlen(path));
	for (unsigned links = 0; *rest;) {
		struct zvm_answer a;
		if (!take_component(done, &rest))
			return 0;
		const char *name = strrchr(done, '/');
		if (!strcmp(name, "/.") || !strcmp(name, "/..")) {
			bool up = name[2] == '.';
			drop_component(done);
			if (up)
				drop_component(done);
			continue;
		}
		int r = ask_lookup(s, done, ZVM_ASK_NOFOLLOW, &a);
		if (r)
			return r;
		bool link = !a.error && !a.elsewhere && S_ISLNK(a.mode), lost = a.error || a.elsewhere;
		int n = link ? snprintf(next, sizeof next, "%s/%s", a.text + (*a.text == '/'), rest) : 0;
		bool absolute = link && *a.text == '/';
		zvm_answer_free(&a);
		if (lost || n >= (int)sizeof next || (link && ++links > LINKS_MAX))
			return 0;
		if (!link)
			continue;
		memcpy(pending, next, (size_t)n + 1);
		rest = pending + strspn(pending, "/");
		drop_component(done);
		if (absolute)
			*done = 0;
	}
	memcpy(path, done, strlen(done) + 1);
	return 0;
}

static int own_name(struct resolution *s, char path[ZVM_PATH_MAX])
{
	struct zvm_answer a;
	int r = ask_lookup(s, path, 0, &a);
	if (r)
		return r;
	bool linked = !a.error && !a.elsewhere && a.inode != zvm_canonical_inode(path);
	zvm_answer_free(&a);
	return linked ? follow_links(s, path) : 0;
}

int zvm_program_own_name(zvm_asker *asker, void *context, char path[ZVM_PATH_MAX])
{
	return own_name(&(struct resolution){.asker = asker, .context = context}, path);
}

static int name_executable(struct resolution *s, const char *path)
{
	char own[ZVM_PATH_MAX];
	memcpy(own, path, strlen(path) + 1);
	int r = own_name(s, own);
	if (r)
		return r;
	s->program->executable = strdup(own);
	return s->program->executable ? 0 : -ENOMEM;
}

/* As much of the beginning as there is, or -errno. */
static ssize_t read_head(int fd, char head[ZVM_SHEBANG_SIZE])
{
	size_t done = 0;
	while (done < ZVM_SHEBANG_SIZE) {
		ssize_t n = pread(fd, head + done, ZVM_SHEBANG_SIZE - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int resolve(struct resolution *s, char path[ZVM_PATH_MAX], int *fd)
{
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	for (unsigned depth = 0; depth <= ZVM_SHEBANG_DEPTH; depth++) {
		char head[ZVM_SHEBANG_SIZE];
		struct zvm_shebang line;
		ssize_t n = read_head(*fd, head);
		if (n < 0)
			return (int)n;
		if (!zvm_shebang_begins(head, n))
			break;
		if (depth == ZVM_SHEBANG_DEPTH)
			return say(s->program, -ELOOP, "%s is a script too: more than %d interpreters deep", path,
			           ZVM_SHEBANG_DEPTH);
		if (!zvm_shebang_parse(head, (size_t)n, &line))
			return say(s->program, -ENOEXEC, "%s cannot be run: its #! line names no interpreter", path);
		int r = enter_interpreter(s, &line, path, fd);
		if (r)
			return r;
	}
	int r = zvm_plan_image(*fd, &s->program->image, interpreter, &reason);
	if (r)
		return say(s->program, r, "%s cannot be run: %s", path, reason ? reason : strerror(-r));
	s->program->fd = zvm_steal_fd(fd);
	s->program->digest = s->opened;
	r = name_executable(s, path);
	if (r || !*interpreter)
		return r;
	char none[ZVM_PATH_MAX];
	r = open_program(s, interpreter, path, &s->program->interpreter_fd);
	if (r)
		return r;
	r = zvm_plan_image(s->program->interpreter_fd, &s->program->interpreter, none, &reason);
	if (r)
		return say(s->program, r, "%s cannot be run: %s", interpreter, reason ? reason : strerror(-r));
	s->program->has_interpreter = true;
	s->program->interpreter_digest = s->opened;
	s->program->interpreter_path = strdup(interpreter);
	return s->program->interpreter_path ? 0 : -ENOMEM;
}

static const char *default_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return !strncmp(path, "/script/", 8) || !slash ? path : slash + 1;
}

/* A PATH that is not set: what the box sets by itself. Of two, programs take the first. */
static const char *search_path(const char *const *environment)
{
	for (; environment && *environment; environment++)
		if (!strncmp(*environment, "PATH=", 5))
			return *environment + 5;
	return DEFAULT_PATH;
}

int zvm_program_resolve(zvm_asker *asker, void *context, const char *path, int fd, const char *name,
                        const char *const *arguments, const char *const *environment, struct zvm_program *ret)
{
	char where[ZVM_PATH_MAX];
	*ret = (struct zvm_program){.fd = -1, .interpreter_fd = -1};
	struct resolution s = {.asker = asker, .context = context, .program = ret, .search = search_path(environment)};
	if (snprintf(where, sizeof where, "%s", path) >= (int)sizeof where)
		return -ENAMETOOLONG;
	int r = insert_argument(&s, 0, name ? name : default_name(path));
	for (unsigned i = 0; r == 0 && arguments[i]; i++)
		r = insert_argument(&s, i + 1, arguments[i]);
	if (r)
		return r;
	zvm_autofd int content = -1;
	if (fd >= 0) {
		content = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (content < 0)
			return -errno;
	} else {
		r = open_program(&s, path, NULL, &content);
		if (r)
			return r;
	}
	return resolve(&s, where, &content);
}

bool zvm_program_is_refusal(int error)
{
	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
	case -EACCES:
	case -ENOEXEC:
	case -ELOOP:
	case -E2BIG:
	case -ENAMETOOLONG: return true;
	default: return false;
	}
}

void zvm_program_free(struct zvm_program *p)
{
	for (char **a = p->arguments; a && *a; a++)
		free(*a);
	free(p->arguments);
	free(p->executable);
	free(p->interpreter_path);
	free(p->message);
	zvm_close_pointer(&p->fd);
	zvm_close_pointer(&p->interpreter_fd);
	*p = (struct zvm_program){.fd = -1, .interpreter_fd = -1};
}

int zvm_box_check_program(int fd, char **ret_message)
{
	struct zvm_image image;
	char interpreter[ZVM_PATH_MAX], head[ZVM_SHEBANG_SIZE];
	const char *reason = NULL;
	struct zvm_shebang line;
	if (ret_message)
		*ret_message = NULL;
	ssize_t n = read_head(fd, head);
	if (n < 0 && n != -EISDIR)
		return (int)n;
	int r = zvm_shebang_begins(head, n) ? (zvm_shebang_parse(head, (size_t)n, &line) ? 0 : -ENOEXEC)
	                                    : zvm_plan_image(fd, &image, interpreter, &reason);
	if (r && ret_message)
		*ret_message = strdup(reason          ? reason
		                      : r == -ENOEXEC ? "its #! line names no interpreter"
		                                      : strerror(-r));
	return r;
}
