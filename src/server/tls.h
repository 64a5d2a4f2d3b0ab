/* tls.h - TLS over bytes in memory: the connection moves them to and from the socket. */
#pragma once
#include <openssl/ssl.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"

/* A context from two PEM files. */
bool tls_context_open(struct str certificate, struct str key, SSL_CTX **ret_context, struct error *err);
/* Makes a certificate of our own (RSA-2048: the stock agent's TLS 1.2 list has only RSA suites) for localhost,
 * 127.0.0.1, ::1 and `host` into FOLDER/{certificate,key}.pem, unless they are there, and gives their paths. */
bool tls_certificate_make(struct str folder, struct str host, struct arena *arena, struct str *ret_certificate,
			  struct str *ret_key, struct error *err);

struct tls;

struct tls *tls_new(SSL_CTX *context);
void tls_free(struct tls *tls);

/* Decrypts what arrived: plain bytes are added to `plain`; *ret_ended after the peer's goodbye. False on a broken
 * stream. Both may leave bytes in tls_output. */
bool tls_read(struct tls *tls, struct str cipher, struct buffer *plain, bool *ret_ended);
bool tls_write(struct tls *tls, struct str plain);
void tls_goodbye(struct tls *tls);
/* Moves what is to be sent to the end of `out`. */
void tls_output(struct tls *tls, struct buffer *out);
