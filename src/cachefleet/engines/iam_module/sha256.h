/* SHA-256 (FIPS 180-4) and HMAC over it (RFC 2104). Our own, so that the module needs no library: an engine may bring an
 * OpenSSL of another version, or none, and the machine that compiles need not have its headers. */
#ifndef CACHEFLEET_SHA256_H
#define CACHEFLEET_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_BLOCK_BYTES 64

typedef struct {
    uint32_t state[8];
    uint64_t length_bytes;
    unsigned char block[SHA256_BLOCK_BYTES];
    size_t filled;
} sha256_context;

void sha256_begin(sha256_context *context);
void sha256_add(sha256_context *context, const void *data, size_t size);
void sha256_end(sha256_context *context, unsigned char digest[SHA256_BYTES]);

void hmac_sha256(const unsigned char *key, size_t key_size, const void *data, size_t size, unsigned char digest[SHA256_BYTES]);

/* 1 when both are the same, after a time that does not tell where they differ. */
int same_bytes(const unsigned char *one, const unsigned char *other, size_t size);

#endif
