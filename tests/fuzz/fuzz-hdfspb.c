/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as each of the messages that NameNodes and DataNodes send (the first byte chooses): what is taken is packed in
 * the length that was announced; what a file's status says becomes attributes whose identity can be read.
 */
#include "common/mem.h"
#include "fs/op.h"
#include "hdfs/answer.h"
#include "hdfs/ec.h"
#include "hdfs/hdfs.pb-c.h"
#include "hdfs/native_impl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const kinds[] = {
	&slu__pb__rpc_response_header__descriptor,
	&slu__pb__rpc_sasl__descriptor,
	&slu__pb__get_file_info_response__descriptor,
	&slu__pb__get_listing_response__descriptor,
	&slu__pb__get_block_locations_response__descriptor,
	&slu__pb__get_server_defaults_response__descriptor,
	&slu__pb__create_response__descriptor,
	&slu__pb__add_block_response__descriptor,
	&slu__pb__get_acl_status_response__descriptor,
	&slu__pb__block_op_response__descriptor,
	&slu__pb__pipeline_ack__descriptor,
	&slu__pb__data_transfer_encryptor_message__descriptor,
	&slu__pb__credentials__descriptor,
};

static void look(const Slu__Pb__FileStatus *fs)
{
	struct slu_hdfs_id id, again;
	struct slu_attr a;

	if (!fs || !slu_native_attr(fs, &a, &id))
		return;
	if (a.size > INT64_MAX || a.mtime_ns < 0)
		abort();
	if (a.kind == SLU_KIND_FILE &&
	    (!slu_hdfs_id_parse(a.id, &again) || again.inode != id.inode || again.size != id.size ||
	     again.mtime != id.mtime))
		abort();
}

/* The lengths of a group's blocks add up, and what can be lost can be decoded. */
static void look_at_code(const Slu__Pb__LocatedBlocks *where)
{
	uint8_t units[SLU_EC_UNITS], weights[SLU_EC_UNITS];
	struct slu_ec ec;

	if (!where || !where->ec_policy || !slu_ec_policy(where->ec_policy, &ec))
		return;
	for (size_t i = 0; i < where->n_blocks; i++) {
		uint64_t n = where->blocks[i]->b->num_bytes, sum = 0;

		for (unsigned u = 0; u < ec.data; u++)
			sum += slu_ec_length(&ec, n, u);
		if (sum != n)
			abort();
	}
	for (unsigned i = 0; i < ec.data; i++)
		units[i] = (uint8_t)(i + 1);
	if (ec.parity && !slu_ec_weights(&ec, units, 0, weights) && ec.codec == SLU_EC_RS)
		abort();
}

static void look_at(const ProtobufCMessage *m)
{
	if (m->descriptor == &slu__pb__get_file_info_response__descriptor) {
		look(((const Slu__Pb__GetFileInfoResponse *)m)->fs);
	} else if (m->descriptor == &slu__pb__get_block_locations_response__descriptor) {
		look_at_code(((const Slu__Pb__GetBlockLocationsResponse *)m)->locations);
	} else if (m->descriptor == &slu__pb__get_listing_response__descriptor) {
		const Slu__Pb__DirectoryListing *l =
			((const Slu__Pb__GetListingResponse *)m)->dir_list;

		for (size_t i = 0; l && i < l->n_partial_listing; i++)
			look(l->partial_listing[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *kind;
	ProtobufCMessage *m, *again;
	uint8_t *packed;
	size_t n;

	if (!size)
		return 0;
	kind = kinds[data[0] % (sizeof(kinds) / sizeof(kinds[0]))];
	m = protobuf_c_message_unpack(kind, NULL, size - 1, data + 1);
	if (!m)
		return 0;
	look_at(m);
	n = protobuf_c_message_get_packed_size(m);
	packed = slu_malloc(n + 1);
	if (packed) {
		if (protobuf_c_message_pack(m, packed) != n)
			abort();
		again = protobuf_c_message_unpack(kind, NULL, n, packed);
		/* it packs a field whose number is 0, but does not take it a second time */
		if (again && protobuf_c_message_get_packed_size(again) != n)
			abort();
		if (again)
			protobuf_c_message_free_unpacked(again, NULL);
	}
	free(packed);
	protobuf_c_message_free_unpacked(m, NULL);
	return 0;
}
