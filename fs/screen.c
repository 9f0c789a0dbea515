/* See screen.h. */
#include "screen.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zvm/cleanup.h>

#define ENTER "\033[?1049h\033[?25l\033[2J"
#define LEAVE "\033[?25h\033[?1049l"

static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};

bool zvm_screen_is_possible(void)
{
	const char *kind = getenv("TERM");
	return isatty(STDOUT_FILENO) && kind && *kind && strcmp(kind, "dumb");
}

static int put(const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(STDOUT_FILENO, text, size);
		if (n < 0 && errno == EAGAIN) { /* somebody else has made it so, as for his own descriptor */
			poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, 100);
			continue;
		}
		if (n < 0 && errno != EINTR)
			return -errno;
		text += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* --- in and out --- */

/* Each key at once and unseen; those that make signals go on making them. */
static int take_terminal(struct zvm_screen *screen)
{
	screen->keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &screen->before) == 0;
	if (screen->keys) {
		struct termios quiet = screen->before;
		quiet.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		quiet.c_cc[VMIN] = 1;
		quiet.c_cc[VTIME] = 0;
		if (tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet) < 0)
			screen->keys = false;
	}
	screen->events[1] = (struct pollfd){.fd = screen->keys ? STDIN_FILENO : -1, .events = POLLIN};
	screen->changed = true;
	return put(ENTER, strlen(ENTER));
}

static void give_terminal_back(struct zvm_screen *screen)
{
	put(LEAVE, strlen(LEAVE));
	if (screen->keys)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &screen->before);
}

int zvm_screen_enter(struct zvm_screen *screen)
{
	sigset_t ours;
	*screen = (struct zvm_screen){.signal = 0};
	sigemptyset(&ours);
	for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
		sigaddset(&ours, taken[i]);
	if (sigprocmask(SIG_BLOCK, &ours, &screen->mask) < 0)
		return -errno;
	int fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	int r = fd < 0 ? -errno : 0;
	screen->events[0] = (struct pollfd){.fd = fd, .events = POLLIN};
	r = r ? r : take_terminal(screen);
	if (r)
		zvm_screen_leave(screen);
	return r;
}

void zvm_screen_leave(struct zvm_screen *screen)
{
	give_terminal_back(screen);
	zvm_close_pointer(&screen->events[0].fd);
	sigprocmask(SIG_SETMASK, &screen->mask, NULL);
}

/* --- the page --- */

void zvm_screen_size(unsigned *ret_columns, unsigned *ret_rows)
{
	struct winsize size = {0};
	bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row;
	*ret_columns = known ? size.ws_col : 80;
	*ret_rows = known ? size.ws_row : 24;
}

static unsigned count_lines(const char *text)
{
	unsigned lines = 0;
	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* A line is cleared before it is written: behind one that is as long as the terminal is wide that would take its last
 * character. */
static void put_line(FILE *out, const char *line, size_t length, unsigned columns, bool emphasized)
{
	if (length > columns)
		length = columns;
	fprintf(out, "\033[K%s%.*s%s", emphasized ? "\033[7m" : "", (int)length, line, emphasized ? "\033[m" : "");
}

static void put_page(FILE *out, const char *text)
{
	unsigned columns, rows, lines = count_lines(text), shown = 0;
	zvm_screen_size(&columns, &rows);
	fputs("\033[H", out);
	for (; *text && shown < rows; shown++) {
		size_t length = strcspn(text, "\n");
		char more[32];
		bool cut = shown + 1 == rows && lines > rows;
		if (cut)
			snprintf(more, sizeof more, "... %u more lines", lines - shown);
		fputs(shown ? "\r\n" : "", out);
		put_line(out, cut ? more : text, cut ? strlen(more) : length, columns, shown == 0);
		text += length + (text[length] == '\n');
	}
	if (shown < rows)
		fputs("\r\n\033[J", out);
}

int zvm_screen_draw(struct zvm_screen *screen, const char *text)
{
	zvm_autofree char *page = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&page, &size);
	if (!out)
		return -ENOMEM;
	put_page(out, text);
	if (fclose(out))
		return -ENOMEM;
	screen->changed = false;
	return put(page, size);
}

/* --- events --- */

/* The shell has the terminal meanwhile. */
static void stop_for_a_while(struct zvm_screen *screen)
{
	give_terminal_back(screen);
	raise(SIGSTOP);
	if (take_terminal(screen) < 0)
		screen->over = true;
}

static void take_signal(struct zvm_screen *screen)
{
	struct signalfd_siginfo info;
	if (read(screen->events[0].fd, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo == SIGWINCH) {
		screen->changed = true;
	} else if (info.ssi_signo == SIGTSTP) {
		stop_for_a_while(screen);
	} else {
		screen->over = true;
		screen->signal = (int)info.ssi_signo;
	}
}

static void take_keys(struct zvm_screen *screen)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof keys);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) /* nobody is there to press any */
		screen->events[1].fd = -1;
	for (ssize_t i = 0; i < n; i++)
		if (keys[i] == 'q' || keys[i] == 'Q')
			screen->over = true;
}

void zvm_screen_take(struct zvm_screen *screen)
{
	if (screen->events[0].revents)
		take_signal(screen);
	if (screen->events[1].revents)
		take_keys(screen);
	screen->events[0].revents = screen->events[1].revents = 0;
}
