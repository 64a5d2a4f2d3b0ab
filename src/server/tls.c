#include "server/tls.h"
#include <openssl/err.h>
#include <stdlib.h>
#include "base/arena.h"

struct tls {
	SSL *ssl;
	BIO *in, *out;
};

static int choose_http_1_1(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
			   const unsigned char *offered, unsigned offered_len, void *argument)
{
	static const unsigned char ours[] = "\x08http/1.1";

	(void)ssl, (void)argument;
	if (SSL_select_next_proto((unsigned char **)ret, ret_len, ours, sizeof(ours) - 1, offered,
				  offered_len) == OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_NOACK;
}

bool tls_context_open(struct str certificate, struct str key, SSL_CTX **ret_context,
		      struct error *err)
{
	auto_arena arena = {0};
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (!context)
		abort();
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					     SSL_OP_CIPHER_SERVER_PREFERENCE |
					     SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(context, choose_http_1_1, NULL);
	if (SSL_CTX_use_certificate_chain_file(context, arena_cstr(&arena, certificate)) == 1 &&
	    SSL_CTX_use_PrivateKey_file(context, arena_cstr(&arena, key), SSL_FILETYPE_PEM) == 1 &&
	    SSL_CTX_check_private_key(context) == 1) {
		*ret_context = context;
		return true;
	}
	fail(err, ERROR_OS, "use certificate '%.*s' and key '%.*s': %s", STR(certificate), STR(key),
	     ERR_reason_error_string(ERR_get_error()));
	ERR_clear_error();
	SSL_CTX_free(context);
	return false;
}

struct tls *tls_new(SSL_CTX *context)
{
	struct tls *tls = calloc(1, sizeof(*tls));

	if (!tls)
		abort();
	tls->ssl = SSL_new(context);
	tls->in = BIO_new(BIO_s_mem());
	tls->out = BIO_new(BIO_s_mem());
	if (!tls->ssl || !tls->in || !tls->out)
		abort();
	SSL_set_bio(tls->ssl, tls->in, tls->out);
	SSL_set_accept_state(tls->ssl);
	return tls;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	free(tls);
}

bool tls_read(struct tls *tls, struct str cipher, struct buffer *plain, bool *ret_ended)
{
	char piece[16384];
	int got, problem;

	*ret_ended = false;
	if (cipher.len && BIO_write(tls->in, cipher.ptr, (int)cipher.len) != (int)cipher.len)
		return false;
	ERR_clear_error();
	while ((got = SSL_read(tls->ssl, piece, sizeof(piece))) > 0)
		buffer_append(plain, piece, (size_t)got);
	problem = SSL_get_error(tls->ssl, got);
	*ret_ended = problem == SSL_ERROR_ZERO_RETURN;
	ERR_clear_error();
	return problem == SSL_ERROR_WANT_READ || problem == SSL_ERROR_ZERO_RETURN;
}

bool tls_write(struct tls *tls, struct str plain)
{
	while (plain.len) {
		int sent = SSL_write(tls->ssl, plain.ptr, (int)MIN(plain.len, (size_t)1 << 20));

		if (sent <= 0) {
			ERR_clear_error();
			return false;
		}
		plain = str_slice(plain, (size_t)sent, plain.len);
	}
	return true;
}

void tls_goodbye(struct tls *tls)
{
	if (SSL_is_init_finished(tls->ssl))
		SSL_shutdown(tls->ssl);
	ERR_clear_error();
}

void tls_output(struct tls *tls, struct buffer *out)
{
	size_t pending = BIO_ctrl_pending(tls->out);

	buffer_reserve(out, pending);
	if (pending && BIO_read(tls->out, out->bytes + out->len, (int)pending) == (int)pending)
		out->len += pending;
}
