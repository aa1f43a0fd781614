#pragma once
// Asks the system's resolver (getaddrinfo) for a name, with a deadline that getaddrinfo itself does not have.

#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"

namespace signalbox::meter {

struct NameAnswer {
    std::string canonical;               // where CNAMEs lead; the name itself without any
    std::vector<std::string> addresses;  // in the resolver's order, each once
    // "db-1.example → 10.0.0.1", addresses in order of text, so that a changed order is no changed answer.
    std::string text(const std::string& name) const;
};

bool is_address(const std::string& host);

// One question at a time. A question that is never answered costs its caller the deadline and keeps a helper thread,
// which ends by itself when the system gives up.
class Resolver {
  public:
    Resolver();
    ~Resolver();
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    // Errors: Unavailable with getaddrinfo's (negative) code; Timeout. Nothing is cached.
    base::Result<NameAnswer> resolve(const std::string& name, base::Duration timeout);

  private:
    struct Shared;
    std::shared_ptr<Shared> shared_;
};

}  // namespace signalbox::meter
