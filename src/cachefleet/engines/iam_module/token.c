/* See token.h. */
#include "token.h"

#include <stdlib.h>
#include <string.h>

#include "sha256.h"

#define MAX_RULES_BYTES (16 << 20) /* model/iam_rules.py */
#define MAX_TOKEN_BYTES 8192
#define MAX_NAME_BYTES 128
#define MAX_EXPIRES_S 900
#define MAX_LIFETIME_S 43200
#define DAY_BYTES 8
#define SECOND_BYTES 16 /* 20260131T235959Z */
#define HEX_BYTES (2 * SHA256_BYTES)

typedef struct {
    const char *at;
    size_t size;
} part;

typedef struct {
    part id, day, users; /* in the text */
    unsigned char key[SHA256_BYTES];
    unsigned char session[SHA256_BYTES];
    int of_session;
    int64_t until_s;
} day_key;

struct iam_rules {
    char *text; /* our copy, in which the parts lie */
    size_t size;
    part cache, region;
    int64_t skew_s, lifetime_s;
    part *users;
    size_t user_count;
    day_key *keys;
    size_t key_count;
};

/* --- small parts --- */

static void forget(void *memory, size_t size) {
    volatile unsigned char *at = memory;
    while (size-- > 0) *at++ = 0;
}

static int is(part one, const char *text) {
    return one.size == strlen(text) && memcmp(one.at, text, one.size) == 0;
}

static int same(part one, part other) {
    return one.size == other.size && memcmp(one.at, other.at, one.size) == 0;
}

/* What is before the next separator, which is taken away, too; all that is left when there is none. */
static part next(part *rest, char separator) {
    const char *found = rest->size > 0 ? memchr(rest->at, separator, rest->size) : NULL;
    part taken = {rest->at, found ? (size_t)(found - rest->at) : rest->size};
    size_t used = found ? taken.size + 1 : taken.size;
    rest->at += used;
    rest->size -= used;
    return taken;
}

static int is_plain(unsigned char c) { /* what is never encoded in an address */
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

static int all_plain(part name, size_t longest) {
    if (name.size == 0 || name.size > longest) return 0;
    for (size_t i = 0; i < name.size; i++) {
        if (!is_plain((unsigned char)name.at[i])) return 0;
    }
    return 1;
}

static int upper_hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int lower_hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_hex(part text, unsigned char bytes[SHA256_BYTES]) {
    if (text.size != HEX_BYTES) return 0;
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        int high = lower_hex(text.at[2 * i]), low = lower_hex(text.at[2 * i + 1]);
        if (high < 0 || low < 0) return 0;
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return 1;
}

static void write_hex(const unsigned char bytes[SHA256_BYTES], char text[HEX_BYTES]) {
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
}

/* Digits alone, no zero before others; -1 for anything else, or more than most. */
static int64_t read_number(part text, int64_t most) {
    int64_t number = 0;
    if (text.size == 0 || text.size > 15 || (text.size > 1 && text.at[0] == '0')) return -1;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9') return -1;
        number = number * 10 + (text.at[i] - '0');
    }
    return number <= most ? number : -1;
}

static int read_digits(const char *at, size_t count) {
    int number = 0;
    for (size_t i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9') return -1;
        number = number * 10 + (at[i] - '0');
    }
    return number;
}

/* Seconds since 1970 of 20260131T235959Z, or -1. Years 1970 to 9999. */
static int64_t read_second(part text) {
    static const int before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (text.size != SECOND_BYTES || text.at[8] != 'T' || text.at[15] != 'Z') return -1;
    int year = read_digits(text.at, 4), month = read_digits(text.at + 4, 2), day = read_digits(text.at + 6, 2);
    int hour = read_digits(text.at + 9, 2), minute = read_digits(text.at + 11, 2), second = read_digits(text.at + 13, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
        second > 59)
        return -1;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > days[month - 1] + (leap && month == 2)) return -1;
    int64_t past = year - 1;
    int64_t whole = past * 365 + past / 4 - past / 100 + past / 400 - 719162; /* days from 1970 to that year */
    whole += before[month - 1] + (leap && month > 2) + day - 1;
    return ((whole * 24 + hour) * 60 + minute) * 60 + second;
}

/* --- rules --- */

static const char *read_key(iam_rules *rules, part line) {
    day_key key;
    memset(&key, 0, sizeof(key));
    key.id = next(&line, ' ');
    key.day = next(&line, ' ');
    part digits = next(&line, ' '), until = next(&line, ' '), session = next(&line, ' ');
    key.users = line;
    if (!all_plain(key.id, MAX_NAME_BYTES)) return "a key has no id that can be one";
    if (key.day.size != DAY_BYTES || read_digits(key.day.at, DAY_BYTES) < 0) return "the day of a key is not eight digits";
    key.until_s = read_number(until, INT64_MAX);
    if (key.until_s < 0) return "the end of a key is not a number";
    key.of_session = !is(session, "-");
    if (key.of_session && !read_hex(session, key.session)) return "the session of a key is neither - nor a SHA-256";
    if (key.users.size == 0) return "a key has no users";
    for (part rest = key.users; rest.size > 0;) {
        part user = next(&rest, ',');
        if (!is(user, "*") && !all_plain(user, MAX_NAME_BYTES)) return "a key has a user that cannot be one";
    }
    if (!read_hex(digits, key.key)) return "a key is not 64 hexadecimal digits";
    rules->keys[rules->key_count++] = key;
    forget(&key, sizeof(key));
    return NULL;
}

static const char *read_line(iam_rules *rules, part line) {
    part word = next(&line, ' ');
    if (is(word, "key")) return read_key(rules, line);
    if (is(word, "user")) {
        if (!all_plain(line, MAX_NAME_BYTES)) return "a user's id cannot be one";
        rules->users[rules->user_count++] = line;
        return NULL;
    }
    if (is(word, "cache") || is(word, "region")) {
        part *place = is(word, "cache") ? &rules->cache : &rules->region;
        if (!all_plain(line, MAX_NAME_BYTES)) return "the cache's or the region's name cannot be one";
        if (place->size > 0) return "there are two caches or regions";
        *place = line;
        return NULL;
    }
    if (is(word, "skew")) {
        rules->skew_s = read_number(line, MAX_EXPIRES_S);
        return rules->skew_s < 0 ? "the skew is not 0 to 900" : NULL;
    }
    if (is(word, "lifetime")) {
        rules->lifetime_s = read_number(line, MAX_LIFETIME_S);
        return rules->lifetime_s < 1 ? "the lifetime is not 1 to 43200" : NULL;
    }
    return "a line begins with an unknown word";
}

iam_rules *iam_rules_read(const char *text, size_t size, const char **why) {
    size_t lines = 1;
    iam_rules *rules = calloc(1, sizeof(*rules));
    *why = "there is no memory left";
    if (!rules) return NULL;
    if (size > MAX_RULES_BYTES) {
        *why = "there are too many rules";
        free(rules);
        return NULL;
    }
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    rules->size = size;
    rules->lifetime_s = MAX_LIFETIME_S;
    rules->text = malloc(size + 1);
    rules->users = calloc(lines, sizeof(*rules->users));
    rules->keys = calloc(lines, sizeof(*rules->keys));
    if (!rules->text || !rules->users || !rules->keys) {
        iam_rules_free(rules);
        return NULL;
    }
    if (size > 0) memcpy(rules->text, text, size);
    *why = NULL;
    for (part rest = {rules->text, size}; rest.size > 0 && !*why;) {
        part line = next(&rest, '\n');
        if (line.size > 0) *why = read_line(rules, line);
    }
    if (!*why && (rules->cache.size == 0 || rules->region.size == 0)) *why = "there is no cache or no region";
    if (!*why) return rules;
    iam_rules_free(rules);
    return NULL;
}

void iam_rules_free(iam_rules *rules) {
    if (!rules) return;
    if (rules->keys) forget(rules->keys, rules->key_count * sizeof(*rules->keys));
    if (rules->text) forget(rules->text, rules->size);
    free(rules->keys);
    free(rules->users);
    free(rules->text);
    free(rules);
}

int64_t iam_lifetime_s(const iam_rules *rules) {
    return rules->lifetime_s;
}

size_t iam_key_count(const iam_rules *rules) {
    return rules->key_count;
}

/* --- tokens --- */

enum { ACTION, USER, ALGORITHM, CREDENTIAL, DATE, EXPIRES, SESSION, SIGNATURE, SIGNED_HEADERS, PARAMETERS };

/* In the order of their bytes, in which they are signed. */
static const char *const parameter_names[PARAMETERS] = {
    "Action",        "User",                 "X-Amz-Algorithm", "X-Amz-Credential",    "X-Amz-Date",
    "X-Amz-Expires", "X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-SignedHeaders",
};

/* Whether it is encoded in the one way in which it is signed. */
static int is_canonical(part value) {
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if (is_plain(c)) continue;
        if (c != '%' || value.size - i < 3) return 0;
        int high = upper_hex(value.at[i + 1]), low = upper_hex(value.at[i + 2]);
        if (high < 0 || low < 0 || is_plain((unsigned char)(high << 4 | low))) return 0;
        i += 2;
    }
    return 1;
}

static int read_parameters(part query, part values[PARAMETERS]) {
    memset(values, 0, PARAMETERS * sizeof(*values));
    if (query.size == 0 || query.at[query.size - 1] == '&') return 0;
    while (query.size > 0) {
        part value = next(&query, '&');
        if (!memchr(value.at, '=', value.size)) return 0;
        part name = next(&value, '=');
        int which = 0;
        while (which < PARAMETERS && !is(name, parameter_names[which])) which++;
        if (which == PARAMETERS || values[which].at || !is_canonical(value)) return 0;
        values[which] = value;
    }
    for (int which = 0; which < PARAMETERS; which++) {
        if (which != SESSION && values[which].size == 0) return 0;
    }
    return !values[SESSION].at || values[SESSION].size > 0;
}

/* What is before an encoded slash, as next. */
static part next_of_scope(part *rest) {
    for (size_t i = 0; i + 3 <= rest->size; i++) {
        if (memcmp(rest->at + i, "%2F", 3) == 0) {
            part taken = {rest->at, i};
            rest->at += i + 3;
            rest->size -= i + 3;
            return taken;
        }
    }
    part taken = *rest;
    rest->at += rest->size;
    rest->size = 0;
    return taken;
}

static const day_key *find_key(const iam_rules *rules, part id, part day, part session, int64_t now_s) {
    unsigned char digest[SHA256_BYTES];
    sha256_context context;
    sha256_begin(&context);
    for (size_t i = 0; i < session.size; i++) {
        unsigned char c = (unsigned char)session.at[i];
        if (c == '%') {
            c = (unsigned char)(upper_hex(session.at[i + 1]) << 4 | upper_hex(session.at[i + 2]));
            i += 2;
        }
        sha256_add(&context, &c, 1);
    }
    sha256_end(&context, digest);
    for (size_t i = 0; i < rules->key_count; i++) {
        const day_key *key = &rules->keys[i];
        if (!same(key->id, id) || !same(key->day, day) || now_s >= key->until_s) continue;
        if (key->of_session != (session.at != NULL)) continue;
        if (!key->of_session || same_bytes(key->session, digest, SHA256_BYTES)) return key;
    }
    return NULL;
}

static int permits(const day_key *key, part user) {
    for (part rest = key->users; rest.size > 0;) {
        part one = next(&rest, ',');
        if (is(one, "*") || same(one, user)) return 1;
    }
    return 0;
}

static void add_text(sha256_context *context, const char *text) {
    sha256_add(context, text, strlen(text));
}

static void sign(const iam_rules *rules, const day_key *key, const part values[PARAMETERS], char signature[HEX_BYTES]) {
    unsigned char digest[SHA256_BYTES];
    char hex[HEX_BYTES], text[4 * MAX_NAME_BYTES];
    size_t size = 0;
    sha256_context context;
    sha256_begin(&context);
    add_text(&context, "GET\n/\n");
    for (int which = 0; which < PARAMETERS; which++) {
        if (which == SIGNATURE || !values[which].at) continue;
        if (which > 0) add_text(&context, "&");
        add_text(&context, parameter_names[which]);
        add_text(&context, "=");
        sha256_add(&context, values[which].at, values[which].size);
    }
    add_text(&context, "\nhost:");
    sha256_add(&context, rules->cache.at, rules->cache.size);
    add_text(&context, "\n\nhost\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"); /* of an empty body */
    sha256_end(&context, digest);
    write_hex(digest, hex);

    const part parts[] = {
        {"AWS4-HMAC-SHA256\n", 17}, values[DATE], {"\n", 1},          key->day, {"/", 1},
        rules->region,              {"/elasticache/aws4_request\n", 26}, {hex, HEX_BYTES},
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        memcpy(text + size, parts[i].at, parts[i].size); /* at most 17 + 16 + 1 + 8 + 1 + 128 + 26 + 64 */
        size += parts[i].size;
    }
    hmac_sha256(key->key, SHA256_BYTES, text, size, digest);
    write_hex(digest, signature);
}

static iam_verdict check_values(const iam_rules *rules, part user, const part values[PARAMETERS], int64_t now_s) {
    part scope = values[CREDENTIAL];
    part id = next_of_scope(&scope), day = next_of_scope(&scope), region = next_of_scope(&scope);
    part service = next_of_scope(&scope);
    int64_t made_s = read_second(values[DATE]), expires_s = read_number(values[EXPIRES], MAX_EXPIRES_S);
    char signature[HEX_BYTES];
    if (made_s < 0 || expires_s < 1 || values[SIGNATURE].size != HEX_BYTES) return IAM_MALFORMED;
    if (!is(values[ACTION], "connect") || !is(values[ALGORITHM], "AWS4-HMAC-SHA256") || !is(values[SIGNED_HEADERS], "host"))
        return IAM_MALFORMED;
    if (!same(values[USER], user)) return IAM_OTHER_USER;
    if (!same(region, rules->region) || !is(service, "elasticache") || !is(scope, "aws4_request")) return IAM_OTHER_SCOPE;
    if (day.size != DAY_BYTES || memcmp(day.at, values[DATE].at, DAY_BYTES) != 0) return IAM_OTHER_SCOPE;
    const day_key *key = find_key(rules, id, day, values[SESSION], now_s);
    if (!key) return IAM_UNKNOWN_KEY;
    sign(rules, key, values, signature);
    if (!same_bytes((const unsigned char *)signature, (const unsigned char *)values[SIGNATURE].at, HEX_BYTES))
        return IAM_WRONG_SIGNATURE;
    if (made_s > now_s + rules->skew_s) return IAM_NOT_YET;
    if (now_s - made_s > expires_s) return IAM_EXPIRED;
    return permits(key, user) ? IAM_RIGHT : IAM_NOT_PERMITTED;
}

iam_verdict iam_check(const iam_rules *rules, const char *user, size_t user_size, const char *token, size_t token_size,
                      int64_t now_s) {
    part name = {user, user_size}, rest = {token, token_size}, values[PARAMETERS];
    size_t which = 0;
    while (rules && which < rules->user_count && !same(rules->users[which], name)) which++;
    if (!rules || which == rules->user_count) return IAM_NO_IAM_USER;
    if (token_size > MAX_TOKEN_BYTES || token_size < 2 || !memchr(token, '/', token_size)) return IAM_MALFORMED;
    part cache = next(&rest, '/');
    if (rest.size < 1 || rest.at[0] != '?') return IAM_MALFORMED;
    rest.at++;
    rest.size--;
    if (!read_parameters(rest, values)) return IAM_MALFORMED;
    if (!same(cache, rules->cache)) return IAM_OTHER_CACHE;
    return check_values(rules, name, values, now_s);
}

const char *iam_in_words(iam_verdict verdict) {
    static const char *const words[IAM_VERDICTS] = {
        "right",         "no IAM user",  "malformed token", "token of another cache", "token of another user", "token of another scope",
        "unknown key",   "not permitted", "not valid yet",  "expired",                "wrong signature",
    };
    return verdict < IAM_VERDICTS ? words[verdict] : "unknown";
}
