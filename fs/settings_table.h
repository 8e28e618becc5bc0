/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings, a line each; read several times, with S, A and I meaning what the reader needs.
 *
 *   S(name, type, "default", least, most, "views", "help")
 *
 * name: the field in struct slu_settings, the key below "settings" in config.json, SLUICE_<NAME> in the
 * environment, and with '-' for '_' what --set takes (verbs may have an option of that name too).
 * type: bytes, room (bytes; negative: leave so much free), time, count, flag, share (0..1), mode (octal), text.
 * Default "auto": chosen by who uses it, told as 0 (of a time as -1).  least, most: in units of the type
 * (time: ms).  views: any of m (mount), d (download), u (unmount).
 *
 *   A("FOREIGN_NAME", name, unit)   another engine's variable that means the same; after our own
 *   I("FOREIGN_NAME", "reason")     one that means nothing here: told once, not refused
 *
 * unit: plain, or ms (a bare number is milliseconds), some (0 is "as if it were not there").
 */

/* clang-format off */
/* memory and reading */
S(memory, bytes, "auto", 4 << 20, 1ll << 46, "md", "most memory for data of this process (by the cgroup)")
S(read_block, bytes, "auto", 64 << 10, 1 << 30, "m", "bytes of one request of read-ahead; more than 1MiB is 1MiB")
S(read_ahead, count, "auto", 0, 4096, "m", "blocks that are read ahead of one reader, at most; 0: none")
S(read_threads, count, "auto", 1, 4096, "md", "requests to one service that are under way at once, at most")
S(order_ahead, flag, "true", 0, 1, "m", "guess which files are read next, and fetch them")
S(retries, count, "5", 0, 254, "md", "how often a request that failed is sent again, within its deadline")
S(io_timeout, time, "60s", 1, 86400000, "m", "every request of a program is answered by then")

/* the disk cache */
S(cache, flag, "auto", 0, 1, "md", "keep what was read on disk (on when cache_dir is given)")
S(cache_dir, text, "auto", 0, 0, "md", "folder of the disk cache")
S(cache_size, room, "auto", -(1ll << 60), 1ll << 60, "md", "most bytes of it; negative: leave so much free")
S(cache_reserve, bytes, "150MB", 0, 1ll << 60, "md", "free space of its disk that is never used")
S(cache_prune_at, share, "1.0", 0, 1, "md", "it is thinned from this share of cache_size on")
S(cache_prune_to, share, "0.7", 0, 1, "md", "and down to this share")
S(cache_queue, bytes, "512MB", 1 << 20, 1ll << 46, "md", "memory for blocks on their way to it")
S(cache_threads, count, "auto", 1, 1024, "md", "threads that write it")

/* metadata */
S(live, flag, "false", 0, 1, "m", "ask the store for names and attributes; else they are pinned")
S(attr_timeout, time, "auto", 0, 2147483647, "m", "how long they are believed (1h; live: 10s)")
S(open_mode, text, "auto", 0, 0, "m", "who opens files: auto, none (the kernel), passthrough or direct")
S(io_uring, text, "off", 0, 0, "m", "requests over io_uring: on, auto (where it can be) or off")
S(layout, text, "sluice", 0, 0, "md", "names of several paths: sluice (one rule) or compat (as Azure ML has them)")
S(scanners, text, "warn", 0, 0, "m", "indexers that walk the mount: warn, refuse or allow")

/* writing */
S(writable, flag, "false", 0, 1, "m", "take writes; names and attributes are asked of the store, as with live")
S(fsync, text, "stage", 0, 0, "m", "where fsync puts bytes: stage (local disk) or store")
S(stage_dir, text, "auto", 0, 0, "m", "folder for files that are being written (in cache_dir's default)")
S(report, flag, "false", 0, 1, "m", "note in stage_dir/report what did not reach the store, and the end")
S(stage_size, bytes, "0", 0, 1ll << 60, "m", "most bytes of it; 0: its disk, less 150MB")

/* who sees it, and how */
S(allow_other, flag, "false", 0, 1, "m", "let other users read")
S(uid, count, "auto", 0, 4294967294, "m", "the owner that is shown (default: who mounts)")
S(gid, count, "auto", 0, 4294967294, "m", "and the group")
S(umask, mode, "0", 0, 0777, "m", "rights that are not shown, of 0555 and 0444")

/* the end */
S(unmount_timeout, time, "10s", 0, 86400000, "mu", "for programs in the mount; then it is detached")

/* downloads */
S(jobs, count, "auto", 1, 1024, "d", "files in flight (by the cores)")

A("DATASET_MOUNT_MEMORY_CACHE_SIZE", memory, some)
A("DATASET_MOUNT_READ_BLOCK_SIZE", read_block, plain)
A("DATASET_MOUNT_READ_BUFFER_BLOCK_COUNT", read_ahead, plain)
A("DATASET_MOUNT_READ_THREADS", read_threads, plain)
A("DATASET_MOUNT_BLOCK_FILE_CACHE_ENABLED", cache, plain)
A("DATASET_MOUNT_CACHE_SIZE", cache_size, plain)
A("DATASET_RESERVED_FREE_DISK_SPACE", cache_reserve, plain)
A("DATASET_MOUNT_FILE_CACHE_PRUNE_THRESHOLD", cache_prune_at, plain)
A("DATASET_MOUNT_FILE_CACHE_PRUNE_TARGET", cache_prune_to, plain)
A("DATASET_MOUNT_BLOCK_FILE_CACHE_MAX_QUEUE_SIZE", cache_queue, plain)
A("DATASET_MOUNT_BLOCK_FILE_CACHE_WRITE_THREADS", cache_threads, plain)
A("DATASET_MOUNT_ATTRIBUTE_CACHE_TTL", attr_timeout, ms)
A("DATASET_UNMOUNT_TIMEOUT_SECONDS", unmount_timeout, plain)
A("RSLEX_DOWNLOADER_THREADS", jobs, plain)
A("AZUREML_DATASET_HTTP_RETRY_COUNT", retries, plain)

I("DATASET_MOUNT_BLOCK_BASED_CACHE_ENABLED", "what is fetched is chosen for each file by how it is read")
I("DATASET_MOUNT_CACHE_PRUNE_FILE_GROWTH_THRESHOLD", "the cache counts bytes, not files")
I("DATASET_FUSE_CACHE_TIMEOUT", "its unit is not documented; set attr_timeout")
I("DATASET_FUSE_MAX_READAHEAD", "its unit is not documented; set read_ahead")
I("DATASET_USE_MAX_BACKGROUND_THREADS", "no thread waits for a store")
I("DATASET_SLOW_REQUEST_BOUNDARY", "requests slower than others of their kind are sent again")
I("DATASET_REQUEST_TIMEOUT_OVERRIDE", "its unit is not documented; set io_timeout")
I("DATASET_METRICS_PUSH_INTERVAL", "nothing is pushed; see sluice stats")
I("RSLEX_STREAM_COPIER_BLOCK_SIZE", "blocks are chosen by the length of the file")
I("RSLEX_DIRECT_VOLUME_MOUNT_DOWNLOADER_BLOCK_SIZE", "blocks are chosen by the length of the file")
I("RSLEX_RETRY_ON_COPY_ERROR", "requests are tried again; see retries")
I("RSLEX_ENABLE_CLEANUP_AFTER_UNMOUNT", "the next start cleans up")
I("RSLEX_LOG_STDOUT", "the log goes to stderr or --log")
/* clang-format on */
