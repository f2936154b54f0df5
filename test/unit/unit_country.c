/* unit_country.c: our countries are those of ISO 3166, as the time zone database lists them. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "tap.h"

#define LIST "/usr/share/zoneinfo/iso3166.tab" /* of Debian's tzdata: code, tab, name */

static bool listed[26][26];

static int read_list(void)
{
	FILE *file = fopen(LIST, "r");
	char line[256];
	int count = 0;

	while (file && fgets(line, sizeof(line), file))
		if (*line != '#' && line[2] == '\t') {
			listed[line[0] - 'A'][line[1] - 'A'] = true;
			count++;
		}
	if (file)
		fclose(file);
	return count;
}

int main(void)
{
	static const char *const others[] = {"", "D", "DEU", " DE", "D ", "D1", "\xc3\x84"};
	struct arena *arena = arena_new();
	int differences = 0;

	ok(read_list() > 200, "the list can be read");
	for (int first = 0; first < 26; first++)
		for (int second = 0; second < 26; second++) {
			char code[] = {(char)('A' + first), (char)('A' + second), '\0'};
			const char *found = country_code(arena, code);

			differences += listed[first][second]
			                       ? !found || strcmp(found, code) != 0
			                       : found != NULL;
		}
	is_int(differences, 0, "all that are listed are countries, and no others");
	is_text(country_code(arena, "de"), "DE", "small letters become capitals");
	is_text(country_code(arena, "Zw"), "ZW", "the last one, too");
	for (size_t i = 0; i < COUNT(others); i++)
		ok(!country_code(arena, others[i]), "what is no code is no country");
	arena_destroy(arena);
	return done();
}
