/* Decides whether an IAM token is right. Plain C: no engine, no clock, no network, no file. Called by module.c and by tests.
 *
 * A token is the presigned address that AWS clients make (Signature Version 4, query form), without its scheme:
 *
 *     CACHE/?Action=connect&User=U&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=...&X-Amz-Signature=...
 *
 * It is checked against signing keys of a day, which are derived from secret keys and good for that day, region and service
 * alone. It must be written in the one way in which it is signed (the order of its parameters is free, as in any signature):
 * so no byte of it can be another one. */
#ifndef CACHEFLEET_TOKEN_H
#define CACHEFLEET_TOKEN_H

#include <stddef.h>
#include <stdint.h>

typedef struct iam_rules iam_rules;

typedef enum {
    IAM_RIGHT = 0,
    IAM_NO_IAM_USER,     /* the user is none of those that show tokens */
    IAM_MALFORMED,       /* no token, or not written as it has to be */
    IAM_OTHER_CACHE,     /* for another cache */
    IAM_OTHER_USER,      /* for another user */
    IAM_OTHER_SCOPE,     /* of another region, service or day than it says */
    IAM_UNKNOWN_KEY,     /* the access key is not known, revoked, or its day is over */
    IAM_NOT_PERMITTED,   /* the access key may not connect as this user */
    IAM_NOT_YET,         /* made in the future */
    IAM_EXPIRED,
    IAM_WRONG_SIGNATURE, /* or another session's token */
    IAM_VERDICTS
} iam_verdict;

/* Reads rules, one a line, fields separated by one space:
 *
 *     cache ID                        lower case; must be there
 *     region NAME                     must be there
 *     skew SECONDS                    how far in the future a token may have been made; 0 to 900
 *     lifetime SECONDS                of a connection; 1 to 43200
 *     user ID                         a user that shows tokens; any number
 *     key ID DAY KEY UNTIL SESSION USER[,USER...]
 *                                     DAY as 20260131, KEY 64 hexadecimal digits, UNTIL in seconds since 1970; SESSION is - or
 *                                     the SHA-256 of the session token; USER may be *; any number
 *
 * NULL when they cannot be read; why, then, is one sentence that quotes none of them. */
iam_rules *iam_rules_read(const char *text, size_t size, const char **why);

/* Overwrites the keys before it gives the memory back. NULL is nothing. */
void iam_rules_free(iam_rules *rules);

int64_t iam_lifetime_s(const iam_rules *rules);
size_t iam_key_count(const iam_rules *rules);

/* now_s: seconds since 1970. rules NULL: there is no IAM user. */
iam_verdict iam_check(const iam_rules *rules, const char *user, size_t user_size, const char *token, size_t token_size,
                      int64_t now_s);

/* In two or three words, for logs. */
const char *iam_in_words(iam_verdict verdict);

#endif
