/*
 * What of the host a guest may see. /usr and what leads into it is what programs are made of; of /etc only what they
 * read to start and is the same for every user: never accounts, keys, names of this host or its network.
 */
#include "roots.h"
#include <string.h>

static const char *const host_roots[] = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "script"};

/* Whole names, or prefixes where they end in '*'. A directory named here is shown with all below it. */
static const char *const etc_shown[] = {
        /* What the dynamic loader and the choice between alternatives need. */
        "ld.so.cache",
        "ld.so.conf",
        "ld.so.conf.d",
        "alternatives",
        /* Interpreters and shells. */
        "bash.bashrc",
        "gawk*",
        "gnucobol*",
        "gprofng.rc",
        "inputrc",
        "java*",
        "lua*",
        "perl",
        "php*",
        "python2*",
        "python3*",
        "R",
        /* Lists that are the same everywhere. */
        "debian_version",
        "locale.alias",
        "lsb-release",
        "magic",
        "magic.mime",
        "mime.types",
        "os-release",
        "papersize",
        "protocols",
        "rpc",
        "services",
        "shells",
        "terminfo",
        /* Converters of documents, fonts and images. */
        "ImageMagick*",
        "a2ps*",
        "colordiffrc",
        "dictionaries-common",
        "emacs",
        "enscript*",
        "fonts",
        "ghostscript",
        "gimp",
        "groff",
        "gtk-*",
        "highlight",
        "lynx",
        "matplotlibrc",
        "nanorc",
        "pango",
        "sgml",
        "texmf",
        "vim",
        "xml",
};

/* Below ssl only what verifies, never what signs. */
static const char *const ssl_shown[] = {"openssl.cnf", "certs"};

bool zvm_root_is_host(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof host_roots / sizeof host_roots[0]; i++)
		if (strlen(host_roots[i]) == length && !memcmp(host_roots[i], name, length))
			return true;
	return false;
}

static bool listed(const char *const *list, size_t count, const char *name, size_t length)
{
	for (size_t i = 0; i < count; i++) {
		size_t n = strlen(list[i]);
		bool prefix = list[i][n - 1] == '*';
		n -= prefix;
		if ((prefix ? length >= n : length == n) && !memcmp(list[i], name, n))
			return true;
	}
	return false;
}

bool zvm_root_etc_shown(const char *rest)
{
	size_t length = strcspn(rest, "/");
	if (!length)
		return true;
	if (length != 3 || memcmp(rest, "ssl", 3))
		return listed(etc_shown, sizeof etc_shown / sizeof etc_shown[0], rest, length);
	rest += length;
	rest += strspn(rest, "/");
	length = strcspn(rest, "/");
	return !length || listed(ssl_shown, sizeof ssl_shown / sizeof ssl_shown[0], rest, length);
}
