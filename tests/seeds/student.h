/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record that both student programs map. */
#pragma once

struct student {
	char name[20];
	short age;
	float score;
	char sex;
};
