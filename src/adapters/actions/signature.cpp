#include "adapters/actions/signature.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace signalbox::actions {

std::string signature_of(std::string_view secret, base::WallTime at, std::string_view body) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(at.time_since_epoch()).count();
    const std::string text = fmt::format("{}.{}", seconds, body);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    const auto* done = HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                            reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &size);
    SB_ASSERT(done != nullptr, "HMAC-SHA256 in memory can't fail");
    return fmt::format("t={},v1={}", seconds,
                       base::to_hex(std::string_view(reinterpret_cast<const char*>(digest), size)));
}

}  // namespace signalbox::actions
