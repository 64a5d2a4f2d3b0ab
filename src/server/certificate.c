#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/arena.h"
#include "os/entropy.h"
#include "os/file.h"
#include "server/tls.h"

enum { CERTIFICATE_DAYS = 3650, RSA_BITS = 2048 };

static bool add_extension(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	bool added = extension && X509_add_ext(certificate, extension, -1) == 1;

	X509_EXTENSION_free(extension);
	return added;
}

/* Names are from our own options, but go through a small grammar of OpenSSL's: only plain ones
 * pass. */
static bool is_plain_name(struct str host)
{
	for (size_t i = 0; i < host.len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:",
			    host.ptr[i]))
			return false;
	return host.len > 0;
}

static const char *alternative_names(struct str host, struct arena *arena)
{
	const char *fixed = "DNS:localhost,IP:127.0.0.1,IP:::1";
	unsigned char address[sizeof(struct in6_addr)];
	const char *name = arena_cstr(arena, host);
	bool numeric =
		inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;

	if (!is_plain_name(host))
		return fixed;
	return arena_printf(arena, "%s,%s:%s", fixed, numeric ? "IP" : "DNS", name).ptr;
}

static bool sign(X509 *certificate, EVP_PKEY *key, struct str host, struct arena *arena)
{
	X509_NAME *name = X509_get_subject_name(certificate);
	uint64_t serial = entropy_number() >> 1;

	return X509_set_version(certificate, X509_VERSION_3) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(certificate), -86400) &&
	       X509_time_adj_ex(X509_getm_notAfter(certificate), CERTIFICATE_DAYS, 0, NULL) &&
	       X509_set_pubkey(certificate, key) == 1 &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
					  (const unsigned char *)"localhost", -1, -1, 0) == 1 &&
	       X509_set_issuer_name(certificate, name) == 1 &&
	       add_extension(certificate, NID_subject_alt_name, alternative_names(host, arena)) &&
	       add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE") &&
	       add_extension(certificate, NID_key_usage,
			     "critical,digitalSignature,keyEncipherment,keyCertSign") &&
	       add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
	       X509_sign(certificate, key, EVP_sha256()) > 0;
}

static struct str memory_text(BIO *memory, struct arena *arena)
{
	char *bytes;
	long len = BIO_get_mem_data(memory, &bytes);

	return arena_copy(arena, (struct str){bytes, (size_t)len});
}

static bool make(struct str host, struct arena *arena, struct str *ret_certificate,
		 struct str *ret_key)
{
	EVP_PKEY *key = EVP_RSA_gen(RSA_BITS);
	X509 *certificate = X509_new();
	BIO *certificate_text = BIO_new(BIO_s_mem()), *key_text = BIO_new(BIO_s_mem());
	bool made = key && certificate && certificate_text && key_text &&
		    sign(certificate, key, host, arena) &&
		    PEM_write_bio_X509(certificate_text, certificate) == 1 &&
		    PEM_write_bio_PrivateKey(key_text, key, NULL, NULL, 0, NULL, NULL) == 1;

	if (made) {
		*ret_certificate = memory_text(certificate_text, arena);
		*ret_key = memory_text(key_text, arena);
	}
	BIO_free(certificate_text);
	BIO_free(key_text);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return made;
}

bool tls_certificate_make(struct str folder, struct str host, struct arena *arena,
			  struct str *ret_certificate, struct str *ret_key, struct error *err)
{
	struct str certificate, key;

	*ret_certificate = arena_printf(arena, "%.*s/certificate.pem", STR(folder));
	*ret_key = arena_printf(arena, "%.*s/key.pem", STR(folder));
	if (access(ret_certificate->ptr, F_OK) == 0 && access(ret_key->ptr, F_OK) == 0)
		return true;
	if (!folder_make(arena_cstr(arena, folder), 0700, err))
		return false;
	if (!make(host, arena, &certificate, &key))
		return fail(err, ERROR_OS, "make a certificate for '%.*s'", STR(host));
	return file_write(AT_FDCWD, ret_key->ptr, key, 0600, err) &&
	       file_write(AT_FDCWD, ret_certificate->ptr, certificate, 0644, err);
}
