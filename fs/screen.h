/*
 * A terminal that shows one page, anew whenever there is another one.
 *
 *   r = zvm_screen_enter(&screen);
 *   zvm_screen_draw(&screen, text);                  // as many lines, and of each as much, as fit
 *   poll screen.events, ZVM_SCREEN_EVENTS of them
 *   zvm_screen_take(&screen);                        // what has been pressed, or has happened
 *   ... until screen.over ...
 *   zvm_screen_leave(&screen);                       // as it was before
 *
 * The page is in the terminal's other buffer, so that what stood there before stands there again afterwards. From
 * entering to leaving the signals that end a process (and SIGTSTP) are taken as events: however it ends, but for
 * SIGKILL, the terminal is given back first.
 */
#ifndef ZVM_FS_SCREEN_H
#define ZVM_FS_SCREEN_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <termios.h>

#define ZVM_SCREEN_EVENTS 2

struct zvm_screen {
	struct pollfd events[ZVM_SCREEN_EVENTS];
	bool over;    /* q was pressed, or a signal came */
	int signal;   /* that one, or 0 */
	bool changed; /* the terminal's size, perhaps: to be drawn again; the caller's to reset */
	bool keys;    /* standard input is a terminal */
	struct termios before;
	sigset_t mask;
};

/* Can standard output be one? */
bool zvm_screen_is_possible(void);
int zvm_screen_enter(struct zvm_screen *screen);
void zvm_screen_leave(struct zvm_screen *screen);
/* 80 and 24 where the terminal does not know. */
void zvm_screen_size(unsigned *ret_columns, unsigned *ret_rows);
/* The first line is emphasized. 0, or -errno: the terminal is gone. */
int zvm_screen_draw(struct zvm_screen *screen, const char *text);
void zvm_screen_take(struct zvm_screen *screen);

#endif
