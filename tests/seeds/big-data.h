/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The block that is exchanged: every byte depends on its place, so that nothing can be swapped. */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline unsigned char big_data_byte(size_t at)
{
	return (at * 2654435761u) >> 13;
}

static inline uint64_t big_data_sum(const unsigned char *data, size_t length)
{
	uint64_t sum = 14695981039346656037u;

	for (size_t i = 0; i < length; i++)
		sum = (sum ^ data[i]) * 1099511628211u;
	return sum;
}
