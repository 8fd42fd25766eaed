/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Functions by the table of symbols, files and lines by the debug information (libdw). Either can
 * be in the program's file, or in another that has its build-id.
 */

#include "symbols/resolve.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define CUS_MOST 100000

typedef struct {
	Elf *elf;
	Dwarf *dwarf;
} File;

/* A function and a line of source; "": not known. */
typedef struct {
	char name[SYMBOLS_LINE / 2], source[SYMBOLS_LINE / 2 - 2];
} Words;

static bool has_id_in(Elf *elf, const GElf_Phdr *header, const unsigned char *id)
{
	Elf_Data *data = elf_getdata_rawchunk(elf, header->p_offset, header->p_filesz, ELF_T_NHDR);
	size_t at = 0, name, description;
	GElf_Nhdr note;

	while (data && (at = gelf_getnote(data, at, &note, &name, &description)) > 0)
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    !memcmp((char *)data->d_buf + name, "GNU", 4) && note.n_descsz == STACK_ID)
			return !memcmp((char *)data->d_buf + description, id, STACK_ID);
	return false;
}

static bool has_id(Elf *elf, const unsigned char *id)
{
	size_t n;

	if (elf_getphdrnum(elf, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr header;
		if (gelf_getphdr(elf, i, &header) && header.p_type == PT_NOTE &&
		    has_id_in(elf, &header, id))
			return true;
	}
	/* A file of debug information has the headers of the program's, and not what they say. */
	Elf_Scn *section = NULL;
	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		if (!gelf_getshdr(section, &header) || header.sh_type != SHT_NOTE)
			continue;
		const GElf_Phdr as = {.p_offset = header.sh_offset, .p_filesz = header.sh_size};
		if (has_id_in(elf, &as, id))
			return true;
	}
	return false;
}

/* The address that the linker gave to what is at that offset in the file. */
static bool find_address(Elf *elf, uint64_t offset, GElf_Addr *ret_address)
{
	size_t n;

	if (elf_getphdrnum(elf, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr header;
		if (!gelf_getphdr(elf, i, &header) || header.p_type != PT_LOAD ||
		    offset < header.p_offset || offset - header.p_offset >= header.p_filesz)
			continue;
		*ret_address = offset - header.p_offset + header.p_vaddr;
		return true;
	}
	return false;
}

/* Of the symbols that may be it the one that begins last; those without a size end where another
 * begins. */
static void find_in_table(Elf *elf, Elf_Scn *section, GElf_Addr address, Words *words)
{
	GElf_Shdr header;
	GElf_Addr best = 0;
	const char *found = NULL;
	Elf_Data *data = elf_getdata(section, NULL);

	if (!data || !gelf_getshdr(section, &header) || header.sh_entsize == 0)
		return;
	for (size_t i = 0; i < data->d_size / header.sh_entsize; i++) {
		GElf_Sym symbol;
		if (!gelf_getsym(data, (int)i, &symbol) || symbol.st_shndx == SHN_UNDEF ||
		    (GELF_ST_TYPE(symbol.st_info) != STT_FUNC &&
		     GELF_ST_TYPE(symbol.st_info) != STT_GNU_IFUNC) ||
		    symbol.st_value > address || symbol.st_value < best ||
		    (symbol.st_size > 0 && address - symbol.st_value >= symbol.st_size))
			continue;
		const char *name = elf_strptr(elf, header.sh_link, symbol.st_name);
		/* Of several names the first without the underscores of a library's own. */
		if (!name || (found && symbol.st_value == best && *found != '_'))
			continue;
		best = symbol.st_value;
		found = name;
	}
	if (found)
		snprintf(words->name, sizeof(words->name), "%s", found);
}

static void find_name(Elf *elf, unsigned int type, GElf_Addr address, Words *words)
{
	Elf_Scn *section = NULL;

	while (!words->name[0] && (section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		if (gelf_getshdr(section, &header) && header.sh_type == type)
			find_in_table(elf, section, address, words);
	}
}

/* Some compilers write no table of which unit is where. */
static bool find_unit(Dwarf *dwarf, GElf_Addr address, Dwarf_Die *ret_die)
{
	Dwarf_CU *unit = NULL;

	if (dwarf_addrdie(dwarf, address, ret_die))
		return true;
	for (int i = 0; i < CUS_MOST; i++) {
		if (dwarf_get_units(dwarf, unit, &unit, NULL, NULL, ret_die, NULL) != 0)
			return false;
		if (dwarf_haspc(ret_die, address) == 1)
			return true;
	}
	return false;
}

static void find_source(Dwarf *dwarf, GElf_Addr address, Words *words)
{
	Dwarf_Die die;
	int number;

	if (!find_unit(dwarf, address, &die))
		return;
	Dwarf_Line *line = dwarf_getsrc_die(&die, address);
	const char *path = line ? dwarf_linesrc(line, NULL, NULL) : NULL;
	if (!path || dwarf_lineno(line, &number) != 0)
		return;
	const char *slash = strrchr(path, '/');
	snprintf(words->source, sizeof(words->source), "%s:%d", slash ? slash + 1 : path, number);
}

/* The function has called another right before that. */
static void find_words(const File *files, int n, uint64_t offset, Words *words)
{
	GElf_Addr address;
	bool is_known = false;

	/* A file of debug information alone has headers, too, but no bytes to go by. */
	for (int i = 0; i < n && !is_known; i++)
		is_known = find_address(files[i].elf, offset - 1, &address);
	if (!is_known)
		return;
	for (int i = 0; i < n && !words->name[0]; i++)
		find_name(files[i].elf, SHT_SYMTAB, address, words);
	for (int i = 0; i < n && !words->name[0]; i++)
		find_name(files[i].elf, SHT_DYNSYM, address, words);
	for (int i = 0; i < n && !words->source[0]; i++)
		if (files[i].dwarf)
			find_source(files[i].dwarf, address, words);
}

/* A name ends a line, or a part of one, no more than it ends a text. */
static void append(char *text, const char *word)
{
	for (char *at = strcat(text, word); *at; at++)
		if (*at == '\n')
			*at = '?';
}

size_t resolve(const struct symbols_question *question, const int *fds, int n, char *text,
	       size_t size)
{
	File files[SYMBOLS_FILES];
	int n_files = 0;
	size_t used = 0;

	elf_version(EV_CURRENT);
	for (int i = 0; i < n && i < SYMBOLS_FILES; i++) {
		/* Read and not mapped: a file that becomes shorter is an error then. */
		Elf *elf = elf_begin(fds[i], ELF_C_READ, NULL);
		if (!elf || elf_kind(elf) != ELF_K_ELF || !has_id(elf, question->id))
			continue;
		files[n_files++] = (File){elf, dwarf_begin_elf(elf, DWARF_C_READ, NULL)};
	}
	for (uint32_t i = 0; n_files > 0 && i < question->n; i++) {
		Words words = {};
		char line[SYMBOLS_LINE] = "";
		find_words(files, n_files, question->offsets[i], &words);
		for (char *at = words.name; *at; at++)
			if (*at == '\t')
				*at = '?';
		append(line, words.name);
		strcat(line, "\t");
		append(line, words.source);
		const size_t length = strlen(line);
		if (length + 1 > size - used)
			break;
		memcpy(text + used, line, length);
		text[used + length] = '\n';
		used += length + 1;
	}
	return used;
}
