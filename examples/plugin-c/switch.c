/* A network backend in one file of C: each net is a switch, which learns where an address is, and each NIC is a socket to it.
 * It needs no privilege and leaves nothing: QEMU and this switch hold the two ends of a socket pair, and nobody else does.
 *
 * What is in here, from the bottom up: reading JSON, the switch, the requests, the table. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xcluster_plugin.h>

#define MTU_MAX 9000
#define FRAME_MAX (MTU_MAX + 14 + 4) /* the headers of Ethernet and of a VLAN */
#define PORTS_MAX 256                /* nodes have a number of one byte */
#define QUEUE (1 << 20)              /* what a socket may hold, in bytes, as far as the host lets us */

/* ---- JSON: just enough to find a value in what the host sends, which is valid and ends with a zero here. ---- */

static const char *after_space(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

/* What follows a value. */
static const char *after_value(const char *at)
{
	int depth = 0;
	do {
		if (*at == '"') {
			for (at++; *at && *at != '"'; at++)
				if (*at == '\\' && at[1])
					at++;
		} else if (*at == '{' || *at == '[') {
			depth++;
		} else if (*at == '}' || *at == ']') {
			depth--;
		} else if (depth == 0) {
			return at + strcspn(at, ",]}");
		}
		if (*at)
			at++;
	} while (depth > 0 && *at);
	return at;
}

/* The member of an object, or NULL. */
static const char *member(const char *object, const char *name)
{
	size_t length = strlen(name);
	if (!object || *object != '{')
		return NULL;
	for (const char *at = after_space(object + 1); *at == '"'; at = after_space(at)) {
		const char *key = at + 1, *value = after_space(after_value(at));
		value = after_space(value + 1); /* the colon */
		if (strncmp(key, name, length) == 0 && key[length] == '"')
			return value;
		at = after_space(after_value(value));
		if (*at != ',')
			return NULL;
		at++;
	}
	return NULL;
}

/* The first element of an array, or NULL; and the one after another. */
static const char *first(const char *array)
{
	const char *at = array && *array == '[' ? after_space(array + 1) : NULL;
	return at && *at != ']' ? at : NULL;
}

static const char *next(const char *element)
{
	const char *at = after_space(after_value(element));
	return *at == ',' ? after_space(at + 1) : NULL;
}

static long number(const char *value)
{
	return value ? strtol(value, NULL, 10) : -1;
}

static bool is_text(const char *value, const char *text)
{
	size_t length = strlen(text);
	return value && *value == '"' && strncmp(value + 1, text, length) == 0 && value[1 + length] == '"';
}

/* A copy of a text that has nothing to be escaped, such as a hardware address. */
static void copy_text(char *to, size_t room, const char *value)
{
	size_t length = value && *value == '"' ? strcspn(value + 1, "\"") : 0;
	snprintf(to, room, "%.*s", (int)length, value ? value + 1 : "");
}

/* ---- The switch ---- */

struct port {
	int ours;   /* -1 if there is no such port */
	int qemus;  /* kept, so that a repeated setup gives the same */
};

struct address {
	unsigned char mac[6];
	short port; /* -1 if this place is free */
};

struct net {
	struct net *next;
	long cluster, number;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	int events, stop;
	struct port ports[PORTS_MAX];
	struct address addresses[1024];
};

struct instance {
	pthread_mutex_t lock; /* of the list */
	struct net *nets;
};

static struct address *place_of(struct net *net, const unsigned char *mac)
{
	unsigned hash = 0;
	for (int i = 0; i < 6; i++)
		hash = hash * 31 + mac[i];
	return &net->addresses[hash % (sizeof net->addresses / sizeof *net->addresses)];
}

/* Sends a frame to one port. A guest that does not read loses it, as it would on a wire. */
static void put(struct net *net, int port, const unsigned char *frame, size_t length)
{
	if (net->ports[port].ours >= 0)
		(void)!send(net->ports[port].ours, frame, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void forward(struct net *net, int from, const unsigned char *frame, size_t length)
{
	struct address *source = place_of(net, frame + 6), *target = place_of(net, frame);
	if (!(frame[6] & 1)) {
		memcpy(source->mac, frame + 6, 6);
		source->port = (short)from;
	}
	bool known = !(frame[0] & 1) && target->port >= 0 && memcmp(target->mac, frame, 6) == 0;
	if (known && net->ports[target->port].ours >= 0) {
		if (target->port != from)
			put(net, target->port, frame, length);
		return;
	}
	for (int port = 0; port < PORTS_MAX; port++)
		if (port != from)
			put(net, port, frame, length);
}

static void *run(void *argument)
{
	struct net *net = argument;
	unsigned char frame[FRAME_MAX];
	struct epoll_event ready[16];
	for (;;) {
		int count = epoll_wait(net->events, ready, 16, -1);
		pthread_mutex_lock(&net->lock);
		for (int i = 0; i < count; i++) {
			int port = ready[i].data.fd;
			if (port < 0) {
				pthread_mutex_unlock(&net->lock);
				return NULL;
			}
			/* Under the lock: a port that is gone by now has no descriptor here. */
			ssize_t length = net->ports[port].ours < 0 ? -1 : recv(net->ports[port].ours, frame, sizeof frame, MSG_DONTWAIT);
			if (length >= 14)
				forward(net, port, frame, (size_t)length);
		}
		pthread_mutex_unlock(&net->lock);
	}
}

static int watch(struct net *net, int descriptor, int port)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = port};
	return epoll_ctl(net->events, EPOLL_CTL_ADD, descriptor, &event);
}

static void close_port(struct net *net, struct port *port)
{
	if (port->ours >= 0) {
		/* By hand: a process that was forked just now may have a copy, which would keep it watched. */
		epoll_ctl(net->events, EPOLL_CTL_DEL, port->ours, NULL);
		close(port->ours);
		close(port->qemus);
	}
	port->ours = port->qemus = -1;
}

static int open_port(struct net *net, int number)
{
	int ends[2], queue = QUEUE;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &queue, sizeof queue);
	net->ports[number] = (struct port){.ours = ends[0], .qemus = ends[1]};
	if (watch(net, ends[0], number) == 0)
		return 0;
	int error = errno;
	close_port(net, &net->ports[number]);
	errno = error;
	return -1;
}

static void free_net(struct net *net)
{
	for (int port = 0; port < PORTS_MAX; port++)
		close_port(net, &net->ports[port]);
	if (net->events >= 0)
		close(net->events);
	if (net->stop >= 0)
		close(net->stop);
	pthread_mutex_destroy(&net->lock);
	free(net);
}

/* A new switch, or NULL with errno. */
static struct net *new_net(long cluster, long number)
{
	struct net *net = calloc(1, sizeof *net);
	if (!net)
		return NULL;
	net->cluster = cluster;
	net->number = number;
	pthread_mutex_init(&net->lock, NULL);
	for (int port = 0; port < PORTS_MAX; port++)
		net->ports[port].ours = net->ports[port].qemus = -1;
	for (size_t i = 0; i < sizeof net->addresses / sizeof *net->addresses; i++)
		net->addresses[i].port = -1;
	net->events = epoll_create1(EPOLL_CLOEXEC);
	net->stop = eventfd(0, EFD_CLOEXEC);
	if (net->events >= 0 && net->stop >= 0 && watch(net, net->stop, -1) == 0) {
		errno = pthread_create(&net->thread, NULL, run, net);
		if (errno == 0)
			return net;
	}
	int error = errno;
	free_net(net);
	errno = error;
	return NULL;
}

static void end_net(struct net *net)
{
	eventfd_write(net->stop, 1);
	pthread_join(net->thread, NULL);
	free_net(net);
}

/* Where a net is in the list, or the end of it. Needs the lock of the list. */
static struct net **find(struct instance *instance, long cluster, long number)
{
	struct net **at = &instance->nets;
	while (*at && ((*at)->cluster != cluster || (number >= 0 && (*at)->number != number)))
		at = &(*at)->next;
	return at;
}

/* Ends a net of a cluster; all of them if the number is -1. */
static void end_nets(struct instance *instance, long cluster, long number)
{
	for (;;) {
		pthread_mutex_lock(&instance->lock);
		struct net **at = find(instance, cluster, number), *net = *at;
		if (net)
			*at = net->next;
		pthread_mutex_unlock(&instance->lock);
		if (!net)
			return;
		end_net(net);
	}
}

/* ---- Requests ---- */

static struct xcluster_buffer say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static struct xcluster_buffer say(const char *format, ...)
{
	char *text = NULL;
	va_list arguments;
	va_start(arguments, format);
	int length = vasprintf(&text, format, arguments);
	va_end(arguments);
	return length < 0 ? (struct xcluster_buffer){0} : (struct xcluster_buffer){(uint8_t *)text, (size_t)length};
}

static struct xcluster_buffer done(void)
{
	return say("{\"ok\":{}}");
}

static struct xcluster_buffer no(const char *action, int error)
{
	return say("{\"error\":{\"kind\":\"io\",\"action\":\"%s\",\"errno\":%d}}", action, error);
}

static struct xcluster_buffer describe(void)
{
	return say("{\"ok\":{\"capabilities\":{\"all\":{\"vm_to_vm\":\"switch\",\"mtu_max\":%d,\"hotplug\":true}}}}", MTU_MAX);
}

static struct xcluster_buffer preflight(const char *request)
{
	for (const char *net = first(member(request, "nets")); net; net = next(net))
		if (number(member(net, "mtu")) > MTU_MAX)
			return say("{\"error\":{\"kind\":\"refused\",\"message\":\"net %ld has an MTU of %ld, and the most is %d\"}}",
				   number(member(net, "id")), number(member(net, "mtu")), MTU_MAX);
	return done();
}

static struct xcluster_buffer create_net(struct instance *instance, long cluster, const char *request)
{
	long id = number(member(member(request, "net"), "id"));
	struct xcluster_buffer reply = done();
	pthread_mutex_lock(&instance->lock);
	struct net **at = find(instance, cluster, id);
	if (!*at && !(*at = new_net(cluster, id))) {
		free(reply.data);
		reply = no("make a switch", errno);
	}
	pthread_mutex_unlock(&instance->lock);
	return reply;
}

/* Says how QEMU takes a port: by a descriptor, which the words call by the netdev's name. */
static struct xcluster_buffer wire(struct net *net, const struct xcluster_host *host, const char *port)
{
	long node = number(member(port, "node"));
	char mac[32], mtu[32] = "";
	if (node < 0 || node >= PORTS_MAX)
		return say("{\"error\":{\"kind\":\"other\",\"message\":\"there is no node %ld\"}}", node);
	if (net->ports[node].ours < 0 && open_port(net, (int)node) < 0)
		return no("make a socket pair", errno);
	uint64_t token = host->give(host->call, net->ports[node].qemus);
	if (token == 0)
		return say("{\"error\":{\"kind\":\"other\",\"message\":\"the host does not take a descriptor\"}}");
	copy_text(mac, sizeof mac, member(port, "mac"));
	long wanted = number(member(member(port, "net"), "mtu"));
	if (wanted != 1500)
		snprintf(mtu, sizeof mtu, ",host_mtu=%ld", wanted);
	return say("{\"ok\":{\"words\":["
		   "\"-netdev\",\"socket,id=net%ld,fd=@net%ld@\","
		   "\"-device\",\"virtio-net-pci,netdev=net%ld,mac=%s,romfile=%s\"],"
		   "\"descriptors\":{\"net%ld\":%llu}}}",
		   net->number, net->number, net->number, mac, mtu, net->number, (unsigned long long)token);
}

static struct xcluster_buffer setup(struct instance *instance, const struct xcluster_host *host, long cluster,
				    const char *request)
{
	const char *port = member(request, "port");
	struct xcluster_buffer reply;
	pthread_mutex_lock(&instance->lock);
	struct net *net = *find(instance, cluster, number(member(member(port, "net"), "id")));
	if (net) {
		pthread_mutex_lock(&net->lock);
		reply = wire(net, host, port);
		pthread_mutex_unlock(&net->lock);
	} else {
		reply = say("{\"error\":{\"kind\":\"other\",\"message\":\"setup was called too early\"}}");
	}
	pthread_mutex_unlock(&instance->lock);
	return reply;
}

static struct xcluster_buffer teardown(struct instance *instance, long cluster, const char *request)
{
	const char *port = member(request, "port");
	long node = number(member(port, "node"));
	pthread_mutex_lock(&instance->lock);
	struct net *net = *find(instance, cluster, number(member(member(port, "net"), "id")));
	if (net && node >= 0 && node < PORTS_MAX) {
		pthread_mutex_lock(&net->lock);
		close_port(net, &net->ports[node]);
		pthread_mutex_unlock(&net->lock);
	}
	pthread_mutex_unlock(&instance->lock);
	return done();
}

/* ---- The table ---- */

static void *create(const struct xcluster_host *host, struct xcluster_text configuration, struct xcluster_buffer *reason)
{
	(void)host;
	/* There is nothing to be set: the least that can be said is an object without members. */
	if (configuration.length != 2) {
		*reason = say("{\"error\":{\"kind\":\"settings\",\"problems\":"
			      "[{\"place\":\"\",\"message\":\"backend `c-switch` has no settings\"}]}}");
		return NULL;
	}
	struct instance *instance = calloc(1, sizeof *instance);
	if (instance)
		pthread_mutex_init(&instance->lock, NULL);
	return instance;
}

static struct xcluster_buffer answer(struct instance *instance, const struct xcluster_host *host, const char *request)
{
	const char *asked = member(request, "call");
	long cluster = number(member(member(request, "site"), "id"));
	if (is_text(asked, "describe"))
		return describe();
	if (is_text(asked, "preflight"))
		return preflight(request);
	if (is_text(asked, "create_net"))
		return create_net(instance, cluster, request);
	if (is_text(asked, "setup"))
		return setup(instance, host, cluster, request);
	if (is_text(asked, "teardown"))
		return teardown(instance, cluster, request);
	if (is_text(asked, "delete_net"))
		end_nets(instance, cluster, number(member(member(request, "net"), "id")));
	if (is_text(asked, "end"))
		end_nets(instance, cluster, -1);
	return done(); /* also to `usable`: what this needs, every host has */
}

static struct xcluster_buffer call(void *instance, const struct xcluster_host *host, struct xcluster_text request)
{
	char *text = strndup((const char *)request.data, request.length);
	if (!text)
		return no("copy a request", ENOMEM);
	struct xcluster_buffer reply = answer(instance, host, text);
	free(text);
	return reply;
}

static void destroy(void *value)
{
	struct instance *instance = value;
	while (instance->nets)
		end_nets(instance, instance->nets->cluster, -1);
	pthread_mutex_destroy(&instance->lock);
	free(instance);
}

static void free_buffer(struct xcluster_buffer buffer)
{
	free(buffer.data);
}

const struct xcluster_plugin *xcluster_plugin(void)
{
	static const struct xcluster_plugin table = {
		.abi = XCLUSTER_PLUGIN_ABI,
		.size = sizeof table,
		.name = "c-switch",
		.version = "1.0",
		.create = create,
		.call = call,
		.destroy = destroy,
		.free = free_buffer,
	};
	return &table;
}
