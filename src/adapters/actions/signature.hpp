#pragma once
// Signs what a webhook sends, so that its receiver knows who sent it, and when.

#include <string>
#include <string_view>

#include "base/time.hpp"

namespace signalbox::actions {

// "t=UNIX,v1=HEX": HMAC-SHA256 with the secret over "UNIX.BODY", where UNIX is the time in whole seconds since 1970.
// The time is part of what is signed, so that a receiver can refuse what somebody else recorded and sends again later.
std::string signature_of(std::string_view secret, base::WallTime at, std::string_view body);

}  // namespace signalbox::actions
