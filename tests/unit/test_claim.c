/* Claims between processes: one has it, death gives it back, and a filesystem without locks stops nobody. */
#include "store.h"
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include "../../fs/claim.h"

static const struct zvm_digest first = {.high = 1, .low = 0x1234567890abcdefull}, second = {.high = 2, .low = 77};

static int open_claims(void)
{
	return zvm_claims_open(zvm_store_directory(store));
}

static void one_has_it(void **state)
{
	(void)state;
	zvm_autofd int a = open_claims(), b = open_claims();
	assert_true(a >= 0 && b >= 0);
	assert_true(zvm_claim_is_free(b, &first));
	assert_int_equal(zvm_claim_take(a, &first), 0);
	assert_int_equal(zvm_claim_take(b, &first), -EAGAIN);
	assert_false(zvm_claim_is_free(b, &first));
	assert_true(zvm_claim_is_free(a, &first));
	zvm_claim_give(a, &first);
	assert_int_equal(zvm_claim_take(b, &first), 0);
	assert_int_equal(zvm_claim_take(a, &first), -EAGAIN);
}

static void actions_do_not_hinder_each_other(void **state)
{
	(void)state;
	zvm_autofd int a = open_claims(), b = open_claims();
	assert_int_equal(zvm_claim_take(a, &first), 0);
	assert_int_equal(zvm_claim_take(b, &second), 0);
	assert_int_equal(zvm_claim_take(a, &second), -EAGAIN);
	zvm_claim_give(a, &first);
	assert_int_equal(zvm_claim_take(a, &second), -EAGAIN);
	assert_false(zvm_claim_is_free(a, &second));
}

static void giving_what_one_has_not_takes_nothing(void **state)
{
	(void)state;
	zvm_autofd int a = open_claims(), b = open_claims();
	assert_int_equal(zvm_claim_take(a, &first), 0);
	zvm_claim_give(b, &first);
	assert_int_equal(zvm_claim_take(b, &first), -EAGAIN);
}

static void every_address_has_a_place(void **state)
{
	(void)state;
	static const uint64_t lows[] = {0, 1, 3, 4, 1ull << 62, 1ull << 63, UINT64_MAX};
	zvm_autofd int a = open_claims(), b = open_claims();
	for (size_t i = 0; i < sizeof lows / sizeof lows[0]; i++) {
		struct zvm_digest action = {.low = lows[i]};
		assert_int_equal(zvm_claim_take(a, &action), 0);
		assert_int_equal(zvm_claim_take(b, &action), -EAGAIN);
		zvm_claim_give(a, &action);
		assert_true(zvm_claim_is_free(b, &action));
	}
}

/* A process that takes the claim, says so and waits to be killed. */
static pid_t start_holder(int *ret_pipe)
{
	int pair[2];
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int claims = open_claims();
		char byte = zvm_claim_take(claims, &first) == 0 ? 'y' : 'n';
		close(pair[0]);
		if (write(pair[1], &byte, 1) == 1)
			pause();
		_exit(0);
	}
	close(pair[1]);
	*ret_pipe = pair[0];
	return pid;
}

static void death_gives_it_back(void **state)
{
	(void)state;
	char byte = 0;
	zvm_autofd int a = open_claims(), pipe_fd = -1;
	pid_t pid = start_holder(&pipe_fd);
	assert_int_equal(read(pipe_fd, &byte, 1), 1);
	assert_int_equal(byte, 'y');
	assert_int_equal(zvm_claim_take(a, &first), -EAGAIN);
	kill(pid, SIGKILL);
	/* Before anybody has waited for the dead process: its descriptors are closed as it dies. */
	for (unsigned i = 0; i < 1000 && zvm_claim_take(a, &first); i++)
		poll(NULL, 0, 1);
	assert_true(zvm_claim_is_free(a, &first));
	zvm_autofd int b = open_claims();
	assert_int_equal(zvm_claim_take(b, &first), -EAGAIN);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void no_descriptor_claims_nothing(void **state)
{
	(void)state;
	zvm_autofd int a = open_claims();
	assert_int_equal(zvm_claim_take(a, &first), 0);
	assert_int_equal(zvm_claim_take(-1, &first), 0);
	assert_true(zvm_claim_is_free(-1, &first));
	zvm_claim_give(-1, &first);
	assert_int_equal(zvm_claims_open(-1), -1);
}

static void nothing_is_written(void **state)
{
	struct stat st;
	(void)state;
	zvm_autofd int a = open_claims();
	assert_int_equal(zvm_claim_take(a, &first), 0);
	zvm_claim_give(a, &first);
	assert_int_equal(fstat(a, &st), 0);
	assert_int_equal(st.st_size, 0);
}

/* --- a filesystem that has no such thing, as the kernel would tell it --- */

static void answer_with(int call, int error, unsigned argument, uint64_t mask, uint64_t value)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	struct scmp_arg_cmp what = {argument, SCMP_CMP_MASKED_EQ, mask, value};
	if (!filter || seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)error), call, 1, &what) ||
	    seccomp_load(filter))
		_exit(99);
	seccomp_release(filter);
}

/* In a process of its own, as filters stay. */
static void assert_in_child(bool (*check)(int error), int error)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(check(error) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static bool claims_without_locks(int error)
{
	answer_with(SCMP_SYS(fcntl), error, 1, ~0u, F_OFD_SETLK);
	answer_with(SCMP_SYS(fcntl), error, 1, ~0u, F_OFD_GETLK);
	int a = open_claims(), b = open_claims();
	bool both = a >= 0 && zvm_claim_take(a, &first) == 0 && zvm_claim_take(b, &first) == 0;
	zvm_claim_give(a, &first);
	return both && zvm_claim_is_free(b, &first);
}

static void without_locks_each_has_it(void **state)
{
	(void)state;
	static const int errors[] = {ENOLCK, EOPNOTSUPP, EINVAL, ENOSYS};
	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
		assert_in_child(claims_without_locks, errors[i]);
}

static bool works(const char *path)
{
	struct zvm_store *other;
	struct zvm_digest digest, again;
	int fd = -1;
	bool good = zvm_store_open(path, ZVM_STORE_CREATE, &other, NULL) == 0 &&
	            zvm_store_put(other, "some bytes", 10, &digest) == 0 &&
	            zvm_store_put(other, "some bytes", 10, &again) == 0 && zvm_digest_equal(&digest, &again) &&
	            zvm_store_object(other, &digest, &fd, NULL) == 0 && holds(fd, "some bytes", 10);
	if (good)
		zvm_store_close(other);
	return good && count_names(in_scratch("other/tmp")) == 0;
}

static bool store_without_flock(int error)
{
	answer_with(SCMP_SYS(flock), error, 1, 0, 0);
	return works(in_scratch("other"));
}

static bool store_without_unnamed_files(int error)
{
	answer_with(SCMP_SYS(openat), error, 2, O_TMPFILE, O_TMPFILE);
	return works(in_scratch("other"));
}

static void a_store_works_without_flock(void **state)
{
	(void)state;
	assert_in_child(store_without_flock, EOPNOTSUPP);
	assert_in_child(store_without_flock, ENOLCK);
}

static void a_store_works_without_unnamed_files(void **state)
{
	(void)state;
	assert_in_child(store_without_unnamed_files, EOPNOTSUPP);
	assert_in_child(store_without_unnamed_files, EISDIR);
}

static bool no_links_is_refused(int error)
{
	struct zvm_store *other;
	char *reason = NULL;
	answer_with(SCMP_SYS(openat), EOPNOTSUPP, 2, O_TMPFILE, O_TMPFILE);
	answer_with(SCMP_SYS(linkat), error, 4, 0, 0);
	bool refused = zvm_store_open(in_scratch("mine"), ZVM_STORE_CREATE, &other, &reason) == -EOPNOTSUPP && reason &&
	               strstr(reason, "hard links") && strstr(reason, "--store");
	free(reason);
	refused = refused && count_names(in_scratch("mine")) == 0;
	refused = refused && zvm_store_open(in_scratch("fresh"), ZVM_STORE_CREATE, &other, NULL) == -EOPNOTSUPP &&
	          access(in_scratch("fresh"), F_OK) < 0;
	refused = refused && zvm_store_open(HOME, ZVM_STORE_CREATE, &other, &reason) == -EOPNOTSUPP && reason;
	free(reason);
	return refused;
}

static void a_store_without_links_is_refused_and_left_alone(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in_scratch("mine"), 0700), 0);
	static const int errors[] = {EPERM, EOPNOTSUPP, ENOSYS};
	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		assert_in_child(no_links_is_refused, errors[i]);
		assert_int_equal(count_names(in_scratch("mine")), 0);
	}
	assert_int_equal(count_names(in_scratch("store/tmp")), 0);
}

static bool read_only_is_still_opened(int error)
{
	struct zvm_store *other;
	answer_with(SCMP_SYS(openat), EOPNOTSUPP, 2, O_TMPFILE, O_TMPFILE);
	answer_with(SCMP_SYS(linkat), error, 4, 0, 0);
	if (zvm_store_open(HOME, ZVM_STORE_READONLY, &other, NULL))
		return false;
	zvm_store_close(other);
	return true;
}

static void to_read_a_store_needs_no_links(void **state)
{
	(void)state;
	assert_in_child(read_only_is_still_opened, EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_STORE(one_has_it),
	        WITH_STORE(actions_do_not_hinder_each_other),
	        WITH_STORE(giving_what_one_has_not_takes_nothing),
	        WITH_STORE(every_address_has_a_place),
	        WITH_STORE(death_gives_it_back),
	        WITH_STORE(no_descriptor_claims_nothing),
	        WITH_STORE(nothing_is_written),
	        WITH_STORE(without_locks_each_has_it),
	        WITH_STORE(a_store_works_without_flock),
	        WITH_STORE(a_store_works_without_unnamed_files),
	        WITH_STORE(a_store_without_links_is_refused_and_left_alone),
	        WITH_STORE(to_read_a_store_needs_no_links),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
