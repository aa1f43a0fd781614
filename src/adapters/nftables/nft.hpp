#pragma once
// libnftables with errors as values. One transaction per call: all of a text's commands happen, or none. Not
// thread-safe.

#include <memory>
#include <string>

#include "base/error.hpp"

struct nft_ctx;

namespace signalbox::kernel {

class Nft {
  public:
    // Errors: NotSupported (this kernel has no nf_tables netlink).
    static base::Result<Nft> open();

    // Errors: PermissionDenied (no CAP_NET_ADMIN), else Unavailable with nft's own words and the command it refused.
    base::Status run(const std::string& commands);
    // The output of a list command as JSON. Errors: NotFound (no such table), as run().
    base::Result<std::string> list(const std::string& command);

  private:
    struct Free {
        void operator()(nft_ctx* context) const;
    };
    explicit Nft(nft_ctx* context) : context_(context) {}
    base::Status execute(const std::string& commands, bool json);
    std::unique_ptr<nft_ctx, Free> context_;
};

}  // namespace signalbox::kernel
