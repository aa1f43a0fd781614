#pragma once
// An HTTP server on loopback that answers as it was told to, word for word, and keeps what it was sent.

#include <arpa/inet.h>
#include <atomic>
#include <fmt/format.h>
#include <mutex>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace signalbox {

class ScriptedServer {
  public:
    // The answer to the first request, the second…; the last one is given to all that follow. An empty one: nothing is
    // said, until the client or this server goes.
    explicit ScriptedServer(std::vector<std::string> answers) : answers_(std::move(answers)) {
        listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
        ::listen(listener_, 16);
        socklen_t size = sizeof address;
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
        thread_ = std::thread([this] { serve(); });
    }
    ~ScriptedServer() {
        ending_ = true;
        thread_.join();
        ::close(listener_);
    }
    ScriptedServer(const ScriptedServer&) = delete;
    ScriptedServer& operator=(const ScriptedServer&) = delete;

    std::string url(const std::string& path) const { return fmt::format("http://127.0.0.1:{}{}", port_, path); }
    // Head and body of each request so far.
    std::vector<std::string> requests() const {
        const std::lock_guard guard(mutex_);
        return requests_;
    }
    static std::string answer(const std::string& status, const std::string& headers = {},
                              const std::string& body = {}) {
        return fmt::format("HTTP/1.1 {}\r\n{}Content-Length: {}\r\nConnection: close\r\n\r\n{}", status, headers,
                           body.size(), body);
    }

  private:
    bool wait(int fd) const {
        while (!ending_) {
            pollfd ready{fd, POLLIN, 0};
            if (::poll(&ready, 1, 10) > 0) return true;
        }
        return false;
    }
    void serve() {
        while (wait(listener_)) {
            const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (client < 0) continue;
            std::string text;
            char buffer[65536];
            while (!whole(text) && wait(client)) {
                const auto size = ::recv(client, buffer, sizeof buffer, 0);
                if (size <= 0) break;
                text.append(buffer, static_cast<std::size_t>(size));
            }
            std::string said;
            {
                const std::lock_guard guard(mutex_);
                said = answers_[std::min(requests_.size(), answers_.size() - 1)];
                requests_.push_back(text);
            }
            if (said.empty()) {
                while (wait(client) && ::recv(client, buffer, sizeof buffer, 0) > 0) {
                }
            } else {
                ::send(client, said.data(), said.size(), MSG_NOSIGNAL);
            }
            ::close(client);
        }
    }
    static bool whole(const std::string& text) {
        const auto end = text.find("\r\n\r\n");
        if (end == std::string::npos) return false;
        const auto length = text.find("Content-Length: ");
        const std::size_t body = length == std::string::npos ? 0 : std::stoul(text.substr(length + 16));
        return text.size() >= end + 4 + body;
    }

    std::vector<std::string> answers_;
    mutable std::mutex mutex_;
    std::vector<std::string> requests_;
    std::atomic<bool> ending_ = false;
    int listener_ = -1;
    int port_ = 0;
    std::thread thread_;
};

// The value of a header of a request, empty without it.
inline std::string header_of(const std::string& request, const std::string& name) {
    const auto at = request.find("\r\n" + name + ": ");
    if (at == std::string::npos) return {};
    const auto begin = at + name.size() + 4;
    return request.substr(begin, request.find("\r\n", begin) - begin);
}

inline std::string body_of(const std::string& request) { return request.substr(request.find("\r\n\r\n") + 4); }

}  // namespace signalbox
