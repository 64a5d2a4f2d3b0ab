#include "wire/timestamp.h"

struct civil {
	int64_t year;
	unsigned month, day, hour, minute, second;
};

/* Days from 1970-01-01; years begin in March here, so that leap days come last. */
static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
	int64_t shifted = month <= 2 ? year - 1 : year;
	int64_t era = (shifted >= 0 ? shifted : shifted - 399) / 400;
	int64_t year_of_era = shifted - era * 400;
	int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static struct civil civil_from_seconds(int64_t seconds)
{
	int64_t days = seconds >= 0 ? seconds / 86400 : -((-seconds + 86399) / 86400);
	unsigned rest = (unsigned)(seconds - days * 86400);
	int64_t shifted = days + 719468;
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t day_of_era = shifted - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month = (5 * day_of_year + 2) / 153;

	return (struct civil){
		.year = year_of_era + era * 400 + (month >= 10),
		.month = (unsigned)(month < 10 ? month + 3 : month - 9),
		.day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1),
		.hour = rest / 3600, .minute = rest / 60 % 60, .second = rest % 60,
	};
}

static unsigned days_in_month(int64_t year, unsigned month)
{
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 ? 28u + leap : 30u + ((month + (month >= 8)) & 1);
}

static bool take_digits(struct str *text, size_t count, unsigned *ret_value)
{
	uint64_t value;

	if (text->len < count || !str_to_unsigned(str_slice(*text, 0, count), &value))
		return false;
	*text = str_slice(*text, count, text->len);
	*ret_value = (unsigned)value;
	return true;
}

static bool take_char(struct str *text, char c)
{
	if (text->len == 0 || text->ptr[0] != c)
		return false;
	*text = str_slice(*text, 1, text->len);
	return true;
}

static bool take_date(struct str *text, bool dashes, struct civil *civil)
{
	unsigned year;

	if (!take_digits(text, 4, &year) || (dashes && !take_char(text, '-')) ||
	    !take_digits(text, 2, &civil->month) || (dashes && !take_char(text, '-')) ||
	    !take_digits(text, 2, &civil->day))
		return false;
	civil->year = year;
	return civil->month >= 1 && civil->month <= 12 && civil->day >= 1 &&
	       civil->day <= days_in_month(civil->year, civil->month);
}

static bool take_clock(struct str *text, bool colons, struct civil *civil)
{
	if (!take_digits(text, 2, &civil->hour) || (colons && !take_char(text, ':')) ||
	    !take_digits(text, 2, &civil->minute) || (colons && !take_char(text, ':')) ||
	    !take_digits(text, 2, &civil->second))
		return false;
	return civil->hour < 24 && civil->minute < 60 && civil->second <= 60;
}

/* Digits behind microseconds are dropped. */
static bool take_fraction(struct str *text, usec *ret_fraction)
{
	usec unit = USEC_PER_SEC / 10;
	unsigned digit;

	*ret_fraction = 0;
	if (!take_char(text, '.'))
		return true;
	if (!take_digits(text, 1, &digit))
		return false;
	do {
		*ret_fraction += digit * unit;
		unit /= 10;
	} while (take_digits(text, 1, &digit));
	return true;
}

static bool take_zone(struct str *text, int64_t *ret_seconds)
{
	bool west = text->len && text->ptr[0] == '-';
	unsigned hours, minutes;

	*ret_seconds = 0;
	if (text->len == 0 || take_char(text, 'Z') || take_char(text, 'z'))
		return true;
	if ((!take_char(text, '+') && !take_char(text, '-')) || !take_digits(text, 2, &hours) ||
	    !take_char(text, ':') || !take_digits(text, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret_seconds = (west ? -1 : 1) * ((int64_t)hours * 3600 + minutes * 60);
	return true;
}

static int64_t civil_seconds(const struct civil *civil)
{
	return days_from_civil(civil->year, civil->month, civil->day) * 86400 + civil->hour * 3600 +
	       civil->minute * 60 + civil->second;
}

/* What follows a date: nothing, or the whole of a time. */
static bool take_time(struct str text, struct civil *civil, usec *ret_fraction, int64_t *ret_zone)
{
	if (text.len == 0)
		return true;
	return (take_char(&text, 'T') || take_char(&text, 't') || take_char(&text, ' ')) &&
	       take_clock(&text, true, civil) && take_fraction(&text, ret_fraction) &&
	       take_zone(&text, ret_zone) && text.len == 0;
}

bool timestamp_parse(struct str text, usec *ret_time)
{
	struct civil civil = {0};
	int64_t zone = 0;
	usec fraction = 0;

	if (!take_date(&text, true, &civil) || !take_time(text, &civil, &fraction, &zone))
		return false;
	*ret_time = (civil_seconds(&civil) - zone) * USEC_PER_SEC + fraction;
	return true;
}

bool timestamp_parse_basic(struct str text, usec *ret_time)
{
	struct civil civil = {0};

	if (!take_date(&text, false, &civil) || !take_char(&text, 'T') || !take_clock(&text, false, &civil) ||
	    !take_char(&text, 'Z') || text.len)
		return false;
	*ret_time = civil_seconds(&civil) * USEC_PER_SEC;
	return true;
}

static char *put_digits(char *to, int64_t value, unsigned digits)
{
	for (unsigned i = digits; i-- > 0; value /= 10)
		to[i] = (char)('0' + value % 10);
	return to + digits;
}

static char *put_char(char *to, char c)
{
	*to = c;
	return to + 1;
}

static char *put_moment(char *to, const struct civil *civil, bool extended)
{
	to = put_digits(to, civil->year, 4);
	to = extended ? put_char(to, '-') : to;
	to = put_digits(to, civil->month, 2);
	to = extended ? put_char(to, '-') : to;
	to = put_digits(to, civil->day, 2);
	to = put_char(to, 'T');
	to = put_digits(to, civil->hour, 2);
	to = extended ? put_char(to, ':') : to;
	to = put_digits(to, civil->minute, 2);
	to = extended ? put_char(to, ':') : to;
	return put_digits(to, civil->second, 2);
}

static usec clamp(usec time)
{
	return time < TIMESTAMP_FIRST ? TIMESTAMP_FIRST : time > TIMESTAMP_LAST ? TIMESTAMP_LAST : time;
}

/* Whole seconds, rounded down, and what is left of them. */
static struct civil civil_of(usec time, usec *ret_fraction)
{
	int64_t seconds = time / USEC_PER_SEC;

	*ret_fraction = time % USEC_PER_SEC;
	if (*ret_fraction < 0) {
		*ret_fraction += USEC_PER_SEC;
		seconds--;
	}
	return civil_from_seconds(seconds);
}

size_t timestamp_format(usec time, char text[TIMESTAMP_TEXT_SIZE])
{
	usec fraction;
	struct civil civil = civil_of(clamp(time), &fraction);
	char *to = put_moment(text, &civil, true);

	if (fraction >= USEC_PER_MSEC)
		to = put_digits(put_char(to, '.'), fraction / USEC_PER_MSEC, 3);
	return (size_t)(put_char(to, 'Z') - text);
}

size_t timestamp_format_basic(usec time, char text[TIMESTAMP_TEXT_SIZE])
{
	usec fraction;
	struct civil civil = civil_of(clamp(time), &fraction);

	return (size_t)(put_char(put_moment(text, &civil, false), 'Z') - text);
}

static const struct str months[] = {
	STR_INIT("Jan"), STR_INIT("Feb"), STR_INIT("Mar"), STR_INIT("Apr"), STR_INIT("May"), STR_INIT("Jun"),
	STR_INIT("Jul"), STR_INIT("Aug"), STR_INIT("Sep"), STR_INIT("Oct"), STR_INIT("Nov"), STR_INIT("Dec"),
};
static const struct str weekdays[] = {
	STR_INIT("Thu"), STR_INIT("Fri"), STR_INIT("Sat"), STR_INIT("Sun"), STR_INIT("Mon"), STR_INIT("Tue"),
	STR_INIT("Wed"), /* from 1970-01-01 on */
};

static bool take_month(struct str *text, unsigned *ret_month)
{
	for (unsigned i = 0; i < COUNT(months); i++)
		if (str_starts(*text, months[i])) {
			*text = str_slice(*text, months[i].len, text->len);
			*ret_month = i + 1;
			return true;
		}
	return false;
}

bool timestamp_parse_http(struct str text, usec *ret_time)
{
	struct str rest = str_slice(text, str_find(text, ',') + 1, text.len);
	struct civil civil = {0};
	unsigned year;

	if (!take_char(&rest, ' ') || !take_digits(&rest, 2, &civil.day) || !take_char(&rest, ' ') ||
	    !take_month(&rest, &civil.month) || !take_char(&rest, ' ') || !take_digits(&rest, 4, &year) ||
	    !take_char(&rest, ' ') || !take_clock(&rest, true, &civil) || !str_equal(rest, S(" GMT")))
		return false;
	civil.year = year;
	if (civil.day < 1 || civil.day > days_in_month(civil.year, civil.month))
		return false;
	*ret_time = civil_seconds(&civil) * USEC_PER_SEC;
	return true;
}

static char *put_text(char *to, struct str text)
{
	memcpy(to, text.ptr, text.len);
	return to + text.len;
}

size_t timestamp_format_http(usec time, char text[TIMESTAMP_TEXT_SIZE])
{
	usec fraction;
	struct civil civil = civil_of(clamp(time), &fraction);
	int64_t day = days_from_civil(civil.year, civil.month, civil.day);
	char *to = put_text(text, weekdays[(day % 7 + 7) % 7]);

	to = put_digits(put_text(to, S(", ")), civil.day, 2);
	to = put_char(put_text(put_char(to, ' '), months[civil.month - 1]), ' ');
	to = put_char(put_digits(to, civil.year, 4), ' ');
	to = put_char(put_digits(to, civil.hour, 2), ':');
	to = put_char(put_digits(to, civil.minute, 2), ':');
	return (size_t)(put_text(put_digits(to, civil.second, 2), S(" GMT")) - text);
}
