#pragma once
// The lab's own certificate authority: made anew with each lab, so that clients can verify the servers they reach.

#include <memory>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "lab/ipv4.hpp"

namespace signalbox::lab {

class CertificateAuthority {
  public:
    // Writes its certificate to `file` (PEM). The key stays in memory. Errors: Unavailable.
    static base::Result<CertificateAuthority> create(const std::string& file);
    // Writes ca.pem, server.pem and server.key (PKCS #8, mode 0600) into the directory: a certificate for those DNS
    // names (the first one is its subject) and that address.
    base::Status issue(const std::vector<std::string>& names, Ipv4 address, const std::string& directory);

  private:
    struct Free {
        void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
        void operator()(X509* certificate) const { X509_free(certificate); }
    };
    using Key = std::unique_ptr<EVP_PKEY, Free>;
    using Certificate = std::unique_ptr<X509, Free>;
    base::Result<Certificate> sign(EVP_PKEY* key, const std::string& common_name, const std::string& alternatives,
                                   bool authority);

    Key key_;
    Certificate certificate_;
    long serial_ = 1;
};

}  // namespace signalbox::lab
