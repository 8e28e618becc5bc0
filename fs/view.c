/* SPDX-License-Identifier: Apache-2.0 */
/* The common part of the three views: dispatch, nothing else. */
#include "fs/view.h"

int slu_view_wait(struct slu_view *v, struct slu_err *e)
{
	return v->ops->wait ? v->ops->wait(v, e) : 0;
}

int slu_view_close(struct slu_view *v, struct slu_err *e)
{
	return v->ops->close ? v->ops->close(v, e) : 0;
}

void slu_view_free(struct slu_view *v)
{
	if (!v)
		return;
	(void)slu_view_close(v, NULL);
	v->ops->free(v);
}
