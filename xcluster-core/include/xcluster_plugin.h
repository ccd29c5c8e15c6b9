/* The interface between xcluster and a plugin, a network backend that is loaded at run time.
 * docs/plugins.md is its author's guide. Generated from xcluster-core/src/external/plugin/abi.rs: change that. */

#ifndef XCLUSTER_PLUGIN_H
#define XCLUSTER_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

// The version of this interface. Host and plugin each state theirs in the field `abi`, which is always the first.
#define XCLUSTER_PLUGIN_ABI 1

// Locks a name among all processes of this host.
#define XCLUSTER_PLACE_HOST 0

// Locks a name among the processes that use the cluster's network namespace.
#define XCLUSTER_PLACE_NAMESPACE 1

// The network namespace of the cluster.
#define XCLUSTER_NAMESPACE_NET 0

// The user namespace that owns the network namespace, if it is not that of this process.
#define XCLUSTER_NAMESPACE_USER 1

// An error that users should see.
#define XCLUSTER_LOG_ERROR 1

// A possible error.
#define XCLUSTER_LOG_WARN 2

// Information for users.
#define XCLUSTER_LOG_INFO 3

// Information for the plugin's author.
#define XCLUSTER_LOG_DEBUG 4

// UTF-8 text that is valid until the function returns. It does not end with a zero byte.
struct xcluster_text {
  // The first byte; may be null for an empty text.
  const uint8_t *data;
  // The length in bytes.
  size_t length;
};

// The functions that a plugin may call during one call, until it returns. Each takes `call` as its first argument, and any
// thread may use it. A negative result is an error of errno(3): -ECANCELED if the host no longer waits for the call, -ENOENT
// if the object does not exist or the call is for no cluster.
struct xcluster_host {
  // The host's version of the interface.
  uint32_t abi;
  // The size of this structure in the host. New fields are added at the end; those beyond the size do not exist.
  size_t size;
  // Identifies the call.
  void *call;
  // Writes a line to the host's log. `level` is one of `XCLUSTER_LOG_…`.
  void (*log)(void *call, uint32_t level, struct xcluster_text text);
  // Gives the host a duplicate of a descriptor. Returns a token for it, more than 0 and less than 2^53, which the reply to
  // this call may contain once; 0 if the descriptor cannot be duplicated. The plugin keeps its own descriptor.
  uint64_t (*give)(void *call, int descriptor);
  // Opens a socket in the cluster's network namespace, as socket(2) does. Returns a close-on-exec descriptor, which the
  // plugin owns.
  int (*open_socket)(void *call, int family, int kind, int protocol);
  // Opens /dev/net/tun in the cluster's network namespace, so that TUNSETIFF makes a tap there. Returns a close-on-exec
  // descriptor, which the plugin owns.
  int (*open_tun)(void *call);
  // Opens one of `XCLUSTER_NAMESPACE_…`, for setns(2) in a process with one thread. Returns a close-on-exec descriptor,
  // which the plugin owns; -ENOENT if this process is in that namespace.
  int (*open_namespace)(void *call, uint32_t which);
  // Locks a name, such as a TCP port, among all clusters of one of `XCLUSTER_PLACE_…`. The lock ends when it is released
  // or when the cluster ends in any way. Returns 0, also if this cluster holds it already; -EADDRINUSE if another cluster
  // holds it.
  int (*take_lock)(void *call, uint32_t place, struct xcluster_text name);
  // Releases a name. Returns 0, also if this cluster does not hold its lock.
  int (*release)(void *call, struct xcluster_text name);
};

// UTF-8 text that the plugin has allocated. The host reads it and passes it to the plugin's `free`. At most 1 MiB.
struct xcluster_buffer {
  // The first byte; null for no text.
  uint8_t *data;
  // The length in bytes.
  size_t length;
};

// A plugin. The function `xcluster_plugin` returns its address. It must not change while the process lives. No function may
// be null. An exception that leaves a function ends the process.
//
// Each call has a thread, which ends with the call; so a child process with a death signal must be started by a thread of
// the plugin. Calls of one instance run at the same time, for different ports, nets and clusters. A call that exceeds its
// deadline (30 s by default) fails for the cluster. Its thread goes on, and calls that undo its work come after it has
// returned.
struct xcluster_plugin {
  // `XCLUSTER_PLUGIN_ABI`.
  uint32_t abi;
  // The size of this structure in the plugin.
  size_t size;
  // The name that topologies choose the backend by: at most 32 bytes; a lower-case letter, then lower-case letters, digits
  // and `-`.
  const char *name;
  // The plugin's version, for people; at most 64 bytes.
  const char *version;
  // Makes an instance with a configuration: a JSON object with the settings of a topology. It must not change anything on
  // the host, because instances are also made for plans that are never started. If the configuration is wrong it returns
  // null, and puts a reply with the error into `reason`.
  void *(*create)(const struct xcluster_host *host, struct xcluster_text configuration, struct xcluster_buffer *reason);
  // Carries out a request and returns the reply. Both are JSON.
  struct xcluster_buffer (*call)(void *instance, const struct xcluster_host *host, struct xcluster_text request);
  // Frees an instance. All of its calls have returned, none will come, and every cluster that used it has ended.
  void (*destroy)(void *instance);
  // Frees a buffer.
  void (*free)(struct xcluster_buffer buffer);
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The function that a plugin exports.
extern const struct xcluster_plugin *xcluster_plugin(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* XCLUSTER_PLUGIN_H */
