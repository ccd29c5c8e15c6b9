/* A plugin that does one thing wrong, or none: what is defined when it is compiled says which. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xcluster_plugin.h>

#ifndef ABI
#define ABI XCLUSTER_PLUGIN_ABI
#endif
#ifndef SIZE
#define SIZE sizeof(struct xcluster_plugin)
#endif
#ifndef NAME
#define NAME "faulty"
#endif
#ifndef VERSION
#define VERSION "1.0"
#endif
#ifndef DESCRIBE
#define DESCRIBE "{\"ok\":{\"capabilities\":{\"all\":{\"vm_to_vm\":\"switch\",\"mtu_max\":1500}}}}"
#endif
#ifndef USABLE
#define USABLE "{\"ok\":{}}"
#endif

/* How many are there, and how many have been. */
static int instances, ended;
/* The two ends of what is given, and a token of an earlier call. */
static int ends[2] = {-1, -1};
static uint64_t old;

/* What a setup waits for, and what `usable` gives. */
static sem_t released;
static pthread_barrier_t meeting;

static void hang(void)
{
	for (;;)
		pause();
}

static struct xcluster_buffer say(const char *text)
{
	return (struct xcluster_buffer){(uint8_t *)strdup(text), strlen(text)};
}

static void *create(const struct xcluster_host *host, struct xcluster_text configuration, struct xcluster_buffer *reason)
{
	(void)host, (void)configuration, (void)reason;
#ifdef HANGS_IN_CREATE
	hang();
#endif
#ifdef REASON
	*reason = say(REASON);
	return NULL;
#endif
#ifdef CREATES_NULL
	return NULL;
#endif
	if (host->open_tun(host->call) != -ENOENT) /* no cluster, no namespace */
		return NULL;
	if (ends[0] < 0 && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) < 0)
		return NULL;
	if (instances++ == 0) {
		sem_init(&released, 0, 0);
		pthread_barrier_init(&meeting, NULL, 2);
	}
	return &instances;
}

/* Words that tell the inode of what was given, how many clusters have ended, and what the host answers. */
static struct xcluster_buffer setup(const struct xcluster_host *host)
{
	char text[1024];
	struct stat of;
#ifdef WAITS
	sem_wait(&released);
#endif
#ifdef MEETS
	pthread_barrier_wait(&meeting);
#endif
	fstat(ends[1], &of);
	uint64_t token = host->give(host->call, ends[1]);
#ifdef OTHER_TOKEN
	token = token == 1 ? 2 : 1;
#endif
#ifdef OLD_TOKEN
	if (old)
		token = old;
#endif
	old = token;
	uint64_t second = host->give(host->call, ends[1]);
#ifdef SAME_TOKEN
	second = token;
#endif
#ifdef GIVES_MANY
	for (int i = 0; i < 1000; i++)
		host->give(host->call, ends[1]);
#endif
	int socket = host->open_socket(host->call, AF_INET, SOCK_DGRAM, 0);
	int flags = socket < 0 ? socket : fcntl(socket, F_GETFD);
	int space = host->open_namespace(host->call, XCLUSTER_NAMESPACE_NET);
	struct xcluster_text name = {(const uint8_t *)"plugin/test", 11};
	int locked = host->take_lock(host->call, XCLUSTER_PLACE_NAMESPACE, name);
	host->log(host->call, XCLUSTER_LOG_DEBUG, (struct xcluster_text){(const uint8_t *)"wired\n", 6});
	snprintf(text, sizeof text,
		 "{\"ok\":{\"words\":[\"-name\",\"inode=%lu,ended=%d,flags=%d,space=%d,locked=%d\",\"-add-fd\",\"fd=@a@\"],"
		 "\"descriptors\":{\"a\":%llu,\"b\":%llu}}}",
		 (unsigned long)of.st_ino, ended, flags, space < 0 ? space : 1, locked, (unsigned long long)token,
		 (unsigned long long)second);
	if (socket >= 0)
		close(socket);
	if (space >= 0)
		close(space);
	return say(text);
}

static struct xcluster_buffer call(void *instance, const struct xcluster_host *host, struct xcluster_text request)
{
	(void)instance, (void)host;
	char text[4096] = "";
	memcpy(text, request.data, request.length < sizeof text - 1 ? request.length : sizeof text - 1);
#ifdef NULL_WITH_LENGTH
	return (struct xcluster_buffer){NULL, 7};
#endif
#ifdef NOTHING
	return (struct xcluster_buffer){NULL, 0};
#endif
#ifdef EMPTY
	return say("");
#endif
#ifdef HUGE
	return (struct xcluster_buffer){calloc(1, 8 << 20), 8 << 20};
#endif
#ifdef NO_TEXT
	return say("\xff\xfe");
#endif
#ifdef HANGS_IN
	if (strstr(text, "\"call\":\"" HANGS_IN "\""))
		hang();
#endif
	if (strstr(text, "\"call\":\"describe\""))
		return say(DESCRIBE);
	if (strstr(text, "\"call\":\"usable\"")) {
		sem_post(&released);
		return say(USABLE);
	}
	if (strstr(text, "\"call\":\"end\""))
		ended++;
	if (strstr(text, "\"call\":\"setup\""))
#ifdef SETUP
		return say(SETUP);
#else
		return setup(host);
#endif
	return say("{\"ok\":{}}");
}

static void destroy(void *instance)
{
	(void)instance;
#ifdef HANGS_IN_DESTROY
	hang();
#endif
	instances--;
}

static void free_buffer(struct xcluster_buffer buffer)
{
	free(buffer.data);
}

#ifndef NO_SYMBOL
const struct xcluster_plugin *xcluster_plugin(void)
{
	static struct xcluster_plugin table = {
		.abi = ABI,
		.size = SIZE,
		.name = NAME,
		.version = VERSION,
		.create = create,
		.call = call,
		.destroy = destroy,
		.free = free_buffer,
	};
#ifdef HANGS_WHEN_ASKED
	hang();
#endif
#ifdef NO_TABLE
	return NULL;
#endif
#ifdef NO_FUNCTIONS
	table.call = NULL;
	table.free = NULL;
#endif
	return &table;
}
#else
int unused = sizeof(create) + sizeof(call) + sizeof(destroy) + sizeof(free_buffer) + sizeof(say) + sizeof(setup);
#endif
