/*
 * execve and execveat. The kernel's own is behind the wall, so a program becomes another one here: its memory is
 * unmapped, and the new image mapped as a run's first one is, in the same layout.
 *
 * Everything that can be refused is found out first, while the old program still stands: the file and whether it may
 * be executed, the arguments, what interprets it, and how it is to be loaded, which the host says (ask_plan). A file
 * that the guest has written itself is sent to the host for that, and mapped from the host's copy. Then there is no way
 * back (become): other threads end, the child of a vfork leaves its parent's memory, and what POSIX says is gone goes.
 *
 * The words of a `#!` line are put before the arguments from the back, into room that is left free there.
 */
#include "files.h"
#include "shebang.h"

#define WORD_MAX 131072u                    /* of one argument, as Linux has it */
#define WORDS_LEAST 131072ull               /* all together, whatever the limit of the stack */
#define WORDS_MOST (STACK_SIZE / 4 * 3)     /* and at most */
#define BEFORE (3 * ZVM_PATH_MAX)           /* room for what `#!` lines add */
#define FIRST_ROOM (BEFORE + 5 * PAGE_SIZE) /* four times as much if that is too little */
#define NOT_A_LIBRARY 80                    /* ELIBBAD */

/* Strings, one behind the other: arguments, then environment. In the arena. */
struct words {
	char *text;
	u32 page, page_count;
	u64 start, end;
	u64 limit; /* on what they may be together, the name included */
	u32 argument_count, environment_count;
};

struct exec {
	char name[ZVM_PATH_MAX];       /* as it was called */
	char path[ZVM_PATH_MAX];       /* of the script that is looked at; later of the interpreter's file */
	char executable[ZVM_PATH_MAX]; /* of the ELF file, without links */
	char interpreter_path[ZVM_PATH_MAX];
	bool hidden; /* named through a descriptor that will be closed: no interpreter could open it */
	struct place place;
	struct words words;
	struct zvm_image program, interpreter;
	int program_fd, interpreter_fd;
};
#define EXEC_PAGES ((u32)(page_up(sizeof(struct exec)) / PAGE_SIZE))

/* A file that may be executed: the host's, or a private one. */
struct file {
	u32 content; /* the host's number; 0: private */
	int fd;      /* native, ours */
	u32 node;
};

/* --- the file --- */

static void close_file(struct file *file)
{
	if (file->fd >= 0)
		native_close(file->fd);
	file->fd = -1;
}

static int file_of_node(u32 index, struct file *ret)
{
	const struct node *node = node_at(index);
	*ret = (struct file){.fd = -1, .node = index};
	return (node->mode & S_IFMT) == S_IFREG && node_may(node, 1) ? 0 : -EACCES;
}

static int file_of_host(const struct place *place, struct file *ret)
{
	const struct answer *a = &place->answer;
	*ret = (struct file){.content = a->content, .fd = place->native_fd};
	if ((a->mode & S_IFMT) == S_IFREG && (a->mode & 0111) && a->content && ret->fd >= 0)
		return 0;
	close_file(ret);
	return -EACCES;
}

/* An open file: a host's one is opened again by its name, as which it is the same for the whole run. */
static int file_of_description(struct exec *e, const struct description *d, struct file *ret)
{
	if (d->node != NO_INDEX)
		return file_of_node(d->node, ret);
	if (d->path == NO_INDEX)
		return -EACCES;
	int r = place_find_path(string_at(d->path), FOLLOW | OPENING, &e->place);
	return r ? r : e->place.kind == PLACE_HOST ? file_of_host(&e->place, ret) : -EACCES;
}

static int file_of_place(struct exec *e, struct file *ret)
{
	switch (e->place.kind) {
	case PLACE_NODE: return file_of_node(e->place.node, ret);
	case PLACE_HOST: return file_of_host(&e->place, ret);
	case PLACE_DESCRIPTION: return file_of_description(e, description_at(e->place.description), ret);
	default: return -EACCES;
	}
}

static bool place_is_link(const struct place *place)
{
	if (place->kind == PLACE_HOST)
		return (place->answer.mode & S_IFMT) == S_IFLNK;
	return place->kind == PLACE_NODE && (node_at(place->node)->mode & S_IFMT) == S_IFLNK;
}

/* How the file was called. Through a descriptor it is /dev/fd/N, as which a script will be opened. */
static int get_name(struct exec *e, s64 directory, u64 path)
{
	s64 length = guest_string(e->name, path, ZVM_PATH_MAX);
	if (length < 0)
		return (int)length;
	if (*e->name == '/' || (s32)directory == AT_FDCWD)
		return 0;
	int n = format(e->path, ZVM_PATH_MAX, "/dev/fd/%d%s%s", (s32)directory, length ? "/" : "", e->name);
	if (n >= ZVM_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(e->name, e->path, (size_t)n + 1);
	e->hidden = descriptor_get((u32)directory, NULL) && process_self()->descriptors[(u32)directory].close_on_exec;
	return 0;
}

static int find_file(struct exec *e, s64 directory, u64 path, u64 flags, struct file *ret)
{
	u32 how = OPENING | (flags & AT_EMPTY_PATH ? EMPTY_OK : 0) | (flags & AT_SYMLINK_NOFOLLOW ? 0 : FOLLOW);
	int r = get_name(e, directory, path);
	r = r ? r : place_find(directory, path, how, &e->place);
	if (r)
		return r;
	return place_is_link(&e->place) ? -ELOOP : file_of_place(e, ret);
}

/* What a `#!` line or an ELF file names, from the current directory if it must be. */
static int find_interpreter(struct exec *e, const char *name, struct file *ret)
{
	const char *directory = *name == '/' ? "" : process_self()->directory;
	int n = format(e->path, ZVM_PATH_MAX, *directory ? "%s/%s" : "%s%s", directory, name);
	if (n >= ZVM_PATH_MAX)
		return -ENAMETOOLONG;
	int r = place_find_path(e->path, FOLLOW | OPENING, &e->place);
	return r ? r : file_of_place(e, ret);
}

static s64 read_head(const struct file *file, char head[ZVM_SHEBANG_SIZE])
{
	if (file->content)
		return native_pread(file->fd, (u64)head, ZVM_SHEBANG_SIZE, 0);
	return data_read(file->node, 0, (u64)head, ZVM_SHEBANG_SIZE);
}

/* --- arguments and environment --- */

static void give_words(struct words *w)
{
	if (w->page_count)
		pages_give(w->page, w->page_count);
	w->page_count = 0;
}

static int take_words(struct words *w, u64 room)
{
	u32 count = (u32)(room / PAGE_SIZE);
	give_words(w);
	w->page = pages_take(count);
	if (w->page == NO_INDEX)
		return -ENOMEM;
	w->page_count = count;
	w->text = page_at(w->page);
	w->start = w->end = BEFORE;
	return 0;
}

static int count_words(u64 array, u32 *ret)
{
	u64 word = 1;
	for (*ret = 0; array && word; array += sizeof word) {
		if (GUEST_GET(word, array))
			return -EFAULT;
		if (word && ++*ret > WORDS_MOST / sizeof word)
			return -E2BIG;
	}
	return 0;
}

/* What is left of a quarter of the stack when the pointers have been taken off, and the name. */
static int limit_words(struct exec *e)
{
	struct words *w = &e->words;
	u64 pointers = 8ull * (w->argument_count + w->environment_count), name = strlen(e->name) + 1;
	u64 limit = min_u64(WORDS_MOST, process_self()->limits[RLIMIT_STACK][0] / 4);
	limit = limit < WORDS_LEAST ? WORDS_LEAST : limit;
	if (pointers >= limit || name > limit - pointers)
		return -E2BIG;
	w->limit = limit - pointers - name;
	return 0;
}

/* -ENOBUFS: there is not enough room. */
static int add_words(struct words *w, u64 array, u32 count)
{
	u64 room = w->page_count * PAGE_SIZE, from;
	for (u32 i = 0; i < count; i++) {
		if (GUEST_GET(from, array + i * sizeof from))
			return -EFAULT;
		u64 left = min_u64(WORD_MAX, room - w->end);
		s64 length = guest_string(w->text + w->end, from, left);
		if (length == -ENAMETOOLONG)
			return left == WORD_MAX ? -E2BIG : -ENOBUFS;
		if (length < 0)
			return (int)length;
		w->end += (u64)length + 1;
		if (w->end - w->start > w->limit)
			return -E2BIG;
	}
	return 0;
}

static int copy_words(struct exec *e, u64 arguments, u64 environment)
{
	struct words *w = &e->words;
	u32 given;
	int r = count_words(arguments, &given);
	r = r ? r : count_words(environment, &w->environment_count);
	w->argument_count = given ? given : 1;
	r = r ? r : limit_words(e);
	if (r)
		return r;
	r = -ENOBUFS;
	for (u64 room = FIRST_ROOM; r == -ENOBUFS; room *= 4) {
		r = take_words(w, room);
		if (r == 0 && !given) /* nobody starts without a name: it is empty */
			w->text[w->end++] = 0;
		r = r ? r : add_words(w, arguments, given);
		r = r ? r : add_words(w, environment, w->environment_count);
	}
	return r;
}

static void put_before(struct words *w, const char *word)
{
	size_t size = strlen(word) + 1;
	w->start -= size;
	memcpy(w->text + w->start, word, size);
	w->argument_count++;
}

static void drop_first(struct words *w)
{
	w->start += strlen(w->text + w->start) + 1;
	w->argument_count--;
}

/* --- what it is --- */

/* *file becomes the interpreter's. */
static int enter_interpreter(struct exec *e, const struct zvm_shebang *line, const char *script, struct file *file)
{
	struct words *w = &e->words;
	close_file(file);
	if (e->hidden)
		return -ENOENT;
	drop_first(w);
	put_before(w, script);
	if (*line->argument)
		put_before(w, line->argument);
	put_before(w, line->interpreter);
	if (w->end - w->start > w->limit)
		return -E2BIG;
	return find_interpreter(e, line->interpreter, file);
}

/* Through scripts to an ELF file, or what ought to be one. */
static int follow_scripts(struct exec *e, struct file *file)
{
	struct zvm_shebang line;
	char head[ZVM_SHEBANG_SIZE], script[ZVM_SHEBANG_SIZE + 1];
	const char *name = e->name;
	for (u32 depth = 0;; depth++) {
		s64 n = read_head(file, head);
		if (!zvm_shebang_begins(head, n))
			return n >= 4 && !memcmp(head, "\177ELF", 4) ? 0 : -ENOEXEC;
		if (depth == ZVM_SHEBANG_DEPTH)
			return -ELOOP;
		if (!zvm_shebang_parse(head, (size_t)n, &line))
			return -ENOEXEC;
		int r = enter_interpreter(e, &line, name, file);
		if (r)
			return r;
		memcpy(script, line.interpreter, sizeof script);
		name = script;
	}
}

static void send_private(u32 node)
{
	static char bytes[8 * PAGE_SIZE];
	u64 at = 0;
	for (s64 n; (n = data_read(node, at, (u64)bytes, sizeof bytes)) > 0; at += (u64)n)
		ask_bytes(bytes, (u32)n);
}

static int plan(const struct file *file, struct zvm_image *image, char own[ZVM_PATH_MAX],
                char interpreter[ZVM_PATH_MAX], int *fd)
{
	if (!file->content)
		send_private(file->node);
	int r = ask_plan(file->content, image, own, interpreter, fd);
	if (r == 0 && !file->content && node_path(file->node, own))
		format(own, ZVM_PATH_MAX, "/tmp/#%u (deleted)", file->node + 1);
	return r;
}

static int plan_program(struct exec *e, struct file *file)
{
	int r = follow_scripts(e, file);
	return r ? r : plan(file, &e->program, e->executable, e->interpreter_path, &e->program_fd);
}

static int plan_interpreter(struct exec *e)
{
	char head[ZVM_SHEBANG_SIZE];
	struct file file;
	if (!*e->interpreter_path)
		return 0;
	int r = find_interpreter(e, e->interpreter_path, &file);
	if (r)
		return r;
	r = read_head(&file, head) >= 4 && !memcmp(head, "\177ELF", 4) ? 0 : -NOT_A_LIBRARY;
	/* Whatever it names as its own interpreter does not matter. */
	r = r ? r : plan(&file, &e->interpreter, e->path, e->place.path, &e->interpreter_fd);
	close_file(&file);
	return r == -ENOEXEC ? -NOT_A_LIBRARY : r;
}

static int prepare(struct exec *e, s64 directory, u64 path, const u64 words[2], u64 flags)
{
	struct file file = {.fd = -1};
	int r = find_file(e, directory, path, flags, &file);
	if (r)
		return r;
	r = copy_words(e, words[0], words[1]);
	r = r ? r : plan_program(e, &file);
	close_file(&file);
	return r ? r : plan_interpreter(e);
}

static void give_up(struct exec *e, u32 page)
{
	if (e->program_fd >= 0)
		native_close(e->program_fd);
	if (e->interpreter_fd >= 0)
		native_close(e->interpreter_fd);
	give_words(&e->words);
	pages_give(page, EXEC_PAGES);
}

/* --- no way back --- */

/* Alone in its memory: who shares it with a parent leaves, and who shares it with a child of vfork waits for that. */
static void be_alone(const struct exec *e)
{
	struct task *task = task_self();
	const u32 zero = 0;
	process_end_others();
	robust_list_release(task);
	if (task->host != task->process) {
		if (task->clear_tid && !GUEST_PUT(task->clear_tid, zero))
			futex_wake_guest(task->clear_tid, 1);
		vfork_leave((const int[2]){e->program_fd, e->interpreter_fd});
	}
	for (u32 other; (other = task_guest_of(task->host)) != NO_INDEX;)
		block_uninterrupted(channel_vfork(other));
}

static void forget_memory(struct process *old)
{
	memory_unmap();
	if (old == process_self() || task_guest_of((u32)(old - arena->processes)) == NO_INDEX)
		memory_forget(old);
}

static void forget_the_rest(void)
{
	struct task *task = task_self();
	struct process *p = process_self();
	task->tid = p->pid;
	task->fs_base = task->clear_tid = task->robust_list = 0;
	signal_reset_for_exec(p);
	for (u32 i = FIRST_OWN_TIMER; i < TIMERS_MAX; i++)
		p->timers[i] = (struct timer){0};
	p->dumpable = 1;
	p->keeps_capabilities = 0;
	p->executed = 1;
	memset(p->drawn, 0, sizeof p->drawn);
	files_exec(p);
	native_call(__NR_arch_prctl, ARCH_SET_FS, 0, 0, 0, 0, 0);
	native_call(__NR_arch_prctl, ARCH_SET_GS, 0, 0, 0, 0, 0);
}

static int load(const struct exec *e, u64 *instruction, u64 *stack)
{
	const struct words *w = &e->words;
	return program_load(&(struct program_order){.program = &e->program,
	                                            .interpreter = e->interpreter_fd >= 0 ? &e->interpreter : NULL,
	                                            .program_fd = e->program_fd,
	                                            .interpreter_fd = e->interpreter_fd,
	                                            .name = e->name,
	                                            .executable = e->executable,
	                                            .argument_count = w->argument_count,
	                                            .environment_count = w->environment_count,
	                                            .strings = w->text + w->start,
	                                            .strings_size = w->end - w->start},
	                    instruction, stack);
}

static NORETURN void become(struct exec *e, u32 page)
{
	struct process *old = memory_self();
	u64 instruction, stack;
	be_alone(e);
	forget_memory(old);
	forget_the_rest();
	int r = load(e, &instruction, &stack);
	give_up(e, page);
	if (r == -EPERM)
		host_failed("the host does not let the store's files be executed (is it mounted noexec?)", r);
	if (r)
		process_die(SIGKILL, "killed by SIGKILL: no memory for the program that was to be executed");
	stack_slot_use(task_self()->stack_slot);
	guest_enter(instruction, stack, handoff.host_features & 1);
}

static s64 exec(s64 directory, u64 path, const u64 words[2], u64 flags)
{
	if (flags & ~(u64)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	u32 page = pages_take(EXEC_PAGES);
	if (page == NO_INDEX)
		return -ENOMEM;
	struct exec *e = page_at(page);
	e->program_fd = e->interpreter_fd = -1;
	int r = prepare(e, directory, path, words, flags);
	if (r) {
		give_up(e, page);
		return r;
	}
	if (arena->trace)
		trace_call(current_call, (const u64[6]){path, words[0], words[1]}, 0);
	become(e, page);
}

s64 call_execve(const u64 *a)
{
	return exec(AT_FDCWD, a[0], a + 1, 0);
}

s64 call_execveat(const u64 *a)
{
	return exec((s32)a[0], a[1], a + 2, (u32)a[4]);
}
