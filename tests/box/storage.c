/* A guest that leans on its loader: large thread-local storage, constructors, destructors, libraries opened at run
 * time. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static __thread char large[3 << 20] = "fresh";
static __thread int counter = 5;

__attribute__((constructor)) static void before(int argc, char **argv)
{
	printf("constructor: %d, %s\n", argc, argv[0] ? "named" : "nameless");
}

__attribute__((destructor)) static void after(void)
{
	puts("destructor");
}

static void *use(void *unused)
{
	memset(large + 100, 'x', 1 << 20);
	printf("%s %d\n", large, counter += 3);
	large[0] = 'F';
	return NULL;
}

int main(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, use, NULL);
	pthread_join(thread, NULL);
	use(NULL);
	use(NULL);
	void *library = dlopen("libm.so.6", RTLD_NOW);
	double (*function)(double) = (double (*)(double))dlsym(library, "floor");
	printf("%g\n", function(-2.5));
	printf("%d\n", dlclose(library));
	puts(dlopen("libno-such.so", RTLD_NOW) ? "opened" : dlerror());
	return 0;
}
