#pragma once
// A real HAProxy for tests: a frontend on a loopback port, a backend without servers, the runtime API on unix sockets.
// It ends with the test's process, however that ends.

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace signalbox::test {

inline sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

// A TCP listener on a loopback port of its own that never accepts by itself.
class Listener {
  public:
    Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        auto address = loopback(0);
        socklen_t size = sizeof address;
        if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), size) != 0 || ::listen(fd_, 16) != 0 ||
            ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
            throw std::runtime_error("no loopback listener");
        port_ = ntohs(address.sin_port);
    }
    ~Listener() { ::close(fd_); }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    std::uint16_t port() const { return port_; }
    // The next connection, or -1 after the time.
    int accept(int timeout_ms) const {
        pollfd wait{fd_, POLLIN, 0};
        return ::poll(&wait, 1, timeout_ms) == 1 ? ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC) : -1;
    }

  private:
    int fd_;
    std::uint16_t port_ = 0;
};

// True if the peer closed or reset the connection within the time.
inline bool ends(int fd, int timeout_ms) {
    pollfd wait{fd, POLLIN, 0};
    char byte = 0;
    return ::poll(&wait, 1, timeout_ms) == 1 && ::recv(fd, &byte, 1, 0) <= 0;
}

inline int connect_to(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = loopback(port);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
    ::close(fd);
    return -1;
}

class HaproxyProcess {
  public:
    // `backend`: more lines of the backend 'targets'.
    explicit HaproxyProcess(const std::string& backend = "balance leastconn") {
        static int number = 0;
        folder_ = "/tmp/signalbox-haproxy-" + std::to_string(::getpid()) + "-" + std::to_string(++number);
        std::filesystem::create_directories(folder_);
        port_ = Listener().port();
        std::ofstream(folder_ + "/haproxy.cfg")
            << "global\n    stats socket " << socket() << " mode 600 level admin\n    stats socket " << reader()
            << " mode 600 level user\n    maxconn 200\n    nbthread 2\ndefaults\n    mode tcp\n    timeout connect 2s\n"
            << "    timeout client 1m\n    timeout server 1m\nfrontend in\n    bind 127.0.0.1:" << port_
            << "\n    default_backend targets\nbackend targets\n    " << backend << "\n";
        start();
    }
    ~HaproxyProcess() {
        stop();
        std::filesystem::remove_all(folder_);
    }
    HaproxyProcess(const HaproxyProcess&) = delete;
    HaproxyProcess& operator=(const HaproxyProcess&) = delete;

    void start() {
        const std::string config = folder_ + "/haproxy.cfg";
        const pid_t parent = ::getpid();
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() != parent) ::_exit(1);
            ::execlp("haproxy", "haproxy", "-q", "-db", "-f", config.c_str(), nullptr);
            ::_exit(127);
        }
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (command("show info").empty()) {
            if (std::chrono::steady_clock::now() > end) throw std::runtime_error("haproxy does not start");
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    }
    void stop() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGCONT);
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }
    // Returns when none of its threads runs any more.
    void pause() const {
        ::kill(pid_, SIGSTOP);
        int status = 0;
        ::waitpid(pid_, &status, WUNTRACED);
    }
    void go_on() const { ::kill(pid_, SIGCONT); }

    std::string socket() const { return folder_ + "/admin.sock"; }
    std::string reader() const { return folder_ + "/user.sock"; }
    std::uint16_t port() const { return port_; }

    // What the runtime API answers; empty if it does not.
    std::string command(const std::string& line) const {
        const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket().copy(address.sun_path, sizeof address.sun_path - 1);
        std::string answer;
        if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
            const std::string text = line + "\n";
            ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
            char buffer[4096];
            for (ssize_t count = 0; (count = ::recv(fd, buffer, sizeof buffer, 0)) > 0;)
                answer.append(buffer, static_cast<std::size_t>(count));
        }
        ::close(fd);
        return answer;
    }

  private:
    std::string folder_;
    std::uint16_t port_ = 0;
    pid_t pid_ = 0;
};

}  // namespace signalbox::test
