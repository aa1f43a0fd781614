#include "lab/certificates.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lab/sys.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;

namespace {

constexpr long hour_s = 3600;
constexpr long lifetime_s = 30 * 24 * hour_s;

tl::unexpected<base::Error> openssl_error(const char* what) {
    char text[256] = "";
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    return fail(ErrorKind::Unavailable, "{}: {}", what, text);
}

// What `write` puts into a memory buffer, as text.
template <typename Write>
std::string pem_of(Write write) {
    const std::unique_ptr<BIO, int (*)(BIO*)> buffer(BIO_new(BIO_s_mem()), BIO_free);
    char* data = nullptr;
    if (!buffer || write(buffer.get()) != 1) return {};
    const long size = BIO_get_mem_data(buffer.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

bool extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    const bool good = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

}  // namespace

base::Result<CertificateAuthority::Certificate> CertificateAuthority::sign(EVP_PKEY* key,
                                                                           const std::string& common_name,
                                                                           const std::string& alternatives,
                                                                           bool authority) {
    Certificate certificate(X509_new());
    X509* const made = certificate.get();
    bool good = made && X509_set_version(made, X509_VERSION_3) == 1 && X509_set_pubkey(made, key) == 1 &&
                ASN1_INTEGER_set(X509_get_serialNumber(made), serial_++) == 1 &&
                // Clocks of clients may be a little behind.
                X509_gmtime_adj(X509_getm_notBefore(made), -hour_s) &&
                X509_gmtime_adj(X509_getm_notAfter(made), lifetime_s) &&
                X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_UTF8,
                                           reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0) == 1;
    X509* const issuer = authority ? made : certificate_.get();
    good =
        good && X509_set_issuer_name(made, X509_get_subject_name(issuer)) == 1 &&
        extend(made, issuer, NID_subject_key_identifier, "hash") &&
        extend(made, issuer, NID_authority_key_identifier, "keyid") &&
        extend(made, issuer, NID_basic_constraints, authority ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
        extend(made, issuer, NID_key_usage, authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature") &&
        (authority || (extend(made, issuer, NID_ext_key_usage, "serverAuth") &&
                       extend(made, issuer, NID_subject_alt_name, alternatives))) &&
        X509_sign(made, key_.get(), EVP_sha256()) > 0;
    if (!good) return openssl_error("can't make a certificate");
    return certificate;
}

base::Result<CertificateAuthority> CertificateAuthority::create(const std::string& file) {
    CertificateAuthority authority;
    authority.key_.reset(EVP_EC_gen("P-256"));
    if (!authority.key_) return openssl_error("can't make a key");
    SB_TRY(authority.certificate_, authority.sign(authority.key_.get(), "signalbox-lab", "", true));
    const auto* const made = authority.certificate_.get();
    SB_CHECK(write_file(file, pem_of([&](BIO* out) { return PEM_write_bio_X509(out, made); })));
    return authority;
}

base::Status CertificateAuthority::issue(const std::vector<std::string>& names, Ipv4 address,
                                         const std::string& directory) {
    const Key key(EVP_EC_gen("P-256"));
    if (!key) return openssl_error("can't make a key");
    std::string alternatives = "IP:" + ipv4_text(address);
    for (const auto& name : names) alternatives += ",DNS:" + name;
    SB_TRY(const Certificate made, sign(key.get(), names.front(), alternatives, false));
    const auto write_key = [&](BIO* out) {
        return PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    };
    SB_CHECK(write_file(directory + "/ca.pem",
                        pem_of([&](BIO* out) { return PEM_write_bio_X509(out, certificate_.get()); })));
    SB_CHECK(
        write_file(directory + "/server.pem", pem_of([&](BIO* out) { return PEM_write_bio_X509(out, made.get()); })));
    return write_file(directory + "/server.key", pem_of(write_key), 0600);
}

}  // namespace signalbox::lab
