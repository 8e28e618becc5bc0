/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager is told (sd_notify(3), by hand): a datagram to the socket of NOTIFY_SOCKET. */
#ifndef SLU_FS_NOTIFY_H
#define SLU_FS_NOTIFY_H

/* state: "READY=1", "STOPPING=1", ...; lines.  Without the variable, or when it cannot be sent, nothing
 * happens.  Any thread; does not wait. */
void slu_notify(const char *state);

#endif
