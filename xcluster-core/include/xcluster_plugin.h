/* The interface between xcluster and a plugin, a network backend that is loaded at run time.
 * docs/plugins.md is its author's guide. Generated from xcluster-core/src/external/plugin/abi.rs: change that. */

#ifndef XCLUSTER_PLUGIN_H
#define XCLUSTER_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

// The version of this interface. Both sides say theirs in the field `abi`, which is always the first.
#define XCLUSTER_PLUGIN_ABI 1

// Among whom a name is locked: everybody on this host.
#define XCLUSTER_PLACE_HOST 0

// Among whom a name is locked: everybody who uses the cluster's network namespace.
#define XCLUSTER_PLACE_NAMESPACE 1

// The network namespace of the cluster.
#define XCLUSTER_NAMESPACE_NET 0

// The user namespace that the network namespace belongs to, if that is not the one of this process.
#define XCLUSTER_NAMESPACE_USER 1

// What went wrong, and people should see.
#define XCLUSTER_LOG_ERROR 1

// What may be wrong.
#define XCLUSTER_LOG_WARN 2

// What people may want to know.
#define XCLUSTER_LOG_INFO 3

// What the plugin's author wants to know.
#define XCLUSTER_LOG_DEBUG 4

// UTF-8 text that is lent until the function returns. No zero ends it.
struct xcluster_text {
  // Where it begins; may be null if it is empty.
  const uint8_t *data;
  // How many bytes it has.
  size_t length;
};

// What a plugin may ask of the host, during one call and until that returns. Every function takes `call` as its first
// argument and may be called by any thread. A negative number is an error of errno(3): -ECANCELED if nobody waits for the
// call any more, -ENOENT if there is no such thing or the call is for no cluster.
struct xcluster_host {
  // The version of the interface that the host speaks.
  uint32_t abi;
  // The size of this structure in the host. It grows at its end: what is beyond it is not there.
  size_t size;
  // Which call this is.
  void *call;
  // Writes a line to the host's log. `level` is one of `XCLUSTER_LOG_…`.
  void (*log)(void *call, uint32_t level, struct xcluster_text text);
  // Gives the host a duplicate of a descriptor. Returns a token, more than 0 and less than 2^53, that the reply to this
  // call may name once; 0 if it cannot be had. The descriptor itself stays the plugin's.
  uint64_t (*give)(void *call, int descriptor);
  // Opens a socket in the cluster's network namespace, as socket(2) does. Returns a descriptor, close-on-exec, which is the
  // plugin's.
  int (*open_socket)(void *call, int family, int kind, int protocol);
  // Opens /dev/net/tun in the cluster's network namespace, so that TUNSETIFF makes a tap there. Returns a descriptor,
  // close-on-exec, which is the plugin's.
  int (*open_tun)(void *call);
  // Opens one of `XCLUSTER_NAMESPACE_…`, for setns(2) in a process of one thread. Returns a descriptor, close-on-exec, which is
  // the plugin's; -ENOENT if that is where this process is anyway.
  int (*open_namespace)(void *call, uint32_t which);
  // Locks a name, such as a port's, among all clusters of one of `XCLUSTER_PLACE_…`. The host lock lasts until it is released or
  // the cluster ends, however that happens. Returns 0, also if this cluster has it already; -EADDRINUSE if another has it.
  int (*take_lock)(void *call, uint32_t place, struct xcluster_text name);
  // Releases a name. Returns 0, also if this cluster has no such host lock.
  int (*release)(void *call, struct xcluster_text name);
};

// UTF-8 text that the plugin has allocated. The host reads it and hands it to the plugin's `free`. At most 1 MiB.
struct xcluster_buffer {
  // Where it begins; null if there is none.
  uint8_t *data;
  // How many bytes it has.
  size_t length;
};

// What a plugin is. The function `xcluster_plugin` returns its address; it must stay as it is for as long as the process
// lives. No function may be null. None may let an exception out: the process would end.
//
// Each call comes on a thread of its own, which ends with it: a death signal must hang on a thread of the plugin's. Calls of one
// instance come at the same time, for different ports, nets and clusters. A call that takes longer than the host waits (30 s
// unless it was told otherwise) fails for the cluster; its thread goes on, and what undoes it comes when it has returned.
struct xcluster_plugin {
  // `XCLUSTER_PLUGIN_ABI`.
  uint32_t abi;
  // The size of this structure in the plugin.
  size_t size;
  // The name that topologies choose the backend by: a letter, then letters, digits and `-`, all lower case, at most 32 bytes.
  const char *name;
  // The plugin's own version, for people; at most 64 bytes.
  const char *version;
  // Makes an instance with a configuration, a JSON object: what topologies say to the backend. It reads the configuration and
  // changes nothing on the host: instances are made to plan a cluster that may never be started. Returns null if the
  // configuration is wrong, and puts a reply with the error into `reason`.
  void *(*create)(const struct xcluster_host *host, struct xcluster_text configuration, struct xcluster_buffer *reason);
  // Does what a request asks for and returns the reply, both JSON.
  struct xcluster_buffer (*call)(void *instance, const struct xcluster_host *host, struct xcluster_text request);
  // Frees an instance. No call of it goes on, and none comes after. Every cluster that used it has ended.
  void (*destroy)(void *instance);
  // Frees a buffer.
  void (*free)(struct xcluster_buffer buffer);
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The one function that a plugin exports.
extern const struct xcluster_plugin *xcluster_plugin(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* XCLUSTER_PLUGIN_H */
