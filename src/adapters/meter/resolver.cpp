#include "adapters/meter/resolver.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <condition_variable>
#include <mutex>
#include <netdb.h>
#include <optional>
#include <sys/socket.h>
#include <thread>

#include "base/text.hpp"

namespace signalbox::meter {
namespace {

using base::ErrorKind;
using base::fail;

base::Result<NameAnswer> ask(const std::string& name) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_CANONNAME | AI_ADDRCONFIG;
    addrinfo* found = nullptr;
    if (const int code = ::getaddrinfo(name.c_str(), nullptr, &hints, &found); code != 0) {
        return tl::unexpected<base::Error>(base::Error{ErrorKind::Unavailable, ::gai_strerror(code), name, code});
    }
    NameAnswer answer;
    if (found->ai_canonname != nullptr) answer.canonical = found->ai_canonname;
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
        std::array<char, INET6_ADDRSTRLEN> text{};
        const void* address = at->ai_family == AF_INET6
                                  ? static_cast<const void*>(&reinterpret_cast<sockaddr_in6*>(at->ai_addr)->sin6_addr)
                                  : static_cast<const void*>(&reinterpret_cast<sockaddr_in*>(at->ai_addr)->sin_addr);
        if (::inet_ntop(at->ai_family, address, text.data(), text.size()) == nullptr) continue;
        if (std::find(answer.addresses.begin(), answer.addresses.end(), text.data()) == answer.addresses.end()) {
            answer.addresses.emplace_back(text.data());
        }
    }
    ::freeaddrinfo(found);
    if (answer.addresses.empty()) return fail(ErrorKind::Unavailable, "the name has no address");
    return answer;
}

}  // namespace

std::string NameAnswer::text(const std::string& name) const {
    std::vector<std::string> sorted = addresses;
    std::sort(sorted.begin(), sorted.end());
    std::string list = base::join(sorted, ", ");
    if (canonical.empty() || base::equal_ignoring_case(canonical, name)) return list;
    return canonical + " → " + list;
}

bool is_address(const std::string& host) {
    std::array<unsigned char, sizeof(in6_addr)> buffer{};
    return ::inet_pton(AF_INET, host.c_str(), buffer.data()) == 1 ||
           ::inet_pton(AF_INET6, host.c_str(), buffer.data()) == 1;
}

struct Resolver::Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<std::string> question;
    bool busy = false;
    bool ended = false;
    std::uint64_t turn = 0;      // of the question under way
    std::uint64_t answered = 0;  // the last turn that has an answer
    base::Result<NameAnswer> answer = fail(ErrorKind::Unavailable, "not asked yet");

    void serve() {
        std::unique_lock lock(mutex);
        for (;;) {
            changed.wait(lock, [this] { return ended || question; });
            if (ended) return;
            const std::string name = std::move(*question);
            question.reset();
            const std::uint64_t mine = turn;
            lock.unlock();
            base::Result<NameAnswer> result = ask(name);
            lock.lock();
            answer = std::move(result);
            answered = mine;
            busy = false;
            changed.notify_all();
        }
    }
};

// The helper is detached: it may be deep in getaddrinfo when nobody waits any more. It holds what it uses.
Resolver::Resolver() : shared_(std::make_shared<Shared>()) {
    std::thread([shared = shared_] { shared->serve(); }).detach();
}

Resolver::~Resolver() {
    const std::lock_guard lock(shared_->mutex);
    shared_->ended = true;
    shared_->changed.notify_all();
}

base::Result<NameAnswer> Resolver::resolve(const std::string& name, base::Duration timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    std::unique_lock lock(shared_->mutex);
    const auto late = [&] { return fail(ErrorKind::Timeout, "{}: the resolver gave no answer in time", name); };
    // The helper may still be stuck in an earlier question.
    if (!shared_->changed.wait_until(lock, deadline, [this] { return !shared_->busy; })) return late();
    const std::uint64_t turn = ++shared_->turn;
    shared_->question = name;
    shared_->busy = true;
    shared_->changed.notify_all();
    if (!shared_->changed.wait_until(lock, deadline, [&] { return shared_->answered >= turn; })) return late();
    return shared_->answer;
}

}  // namespace signalbox::meter
